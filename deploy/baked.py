"""Which package lies in a Bento: `deploy.build` writes it here, into the Bento's own copy. Outside one there is none."""

PACKAGE: str | None = None  # SHA-256 of package/bundle.json
