"""What is deployed: a version of the registry, with all that it needs, started as the manifests start it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
import yaml

import deploy
from deploy.build import build, lay_out, main, prove, registered
from deploy.check import compare
from deploy.isolated import isolated
from deploy.launch import ask, free_port
from deploy.needs import needed, pins
from tasks.artifacts import Golden, Manifest, Member
from tasks.errors import RefitError
from tasks.files import read_json, read_table, sha256, write_json
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.models import Model, fit_family, save_model
from tasks.models.bag import Bag, BagPart, Joined
from tasks.registry.history import Decision, DecisionHistory
from tasks.registry.tracking import Registry
from tests.projects import ROOT
from tests.tasks.package.projects import TIMED, package, project

pytestmark = pytest.mark.service
LOCK = ROOT / "requirements.lock"
BOTH = ("--version", "1", "--package", "data/package")
MEMBERS: dict[str, dict[str, Any]] = {
    "lightgbm": {}, "xgboost": {}, "tabm": {"epochs": 1}, "realmlp": {"epochs": 1}, "mlp": {"epochs": 1},
    "random_forest": {}, "logistic": {}, "knn": {},
}  # fmt: skip


def test_the_bento_is_named_and_says_its_version(bento: Path) -> None:
    about = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (about["name"], about["version"]) == ("orders-late", "1")
    listed = (bento / "env" / "python" / "requirements.txt").read_text().split()
    assert set(listed) == set(pins(needed(bento / "src" / "package"), LOCK))  # BentoML adds itself again
    assert (bento.parent / "latest").read_text() == "1"


def test_another_package_under_the_same_version_is_refused(
    bento: Path, packages: dict[str, Path], tmp_path: Path
) -> None:
    place = tmp_path / "bentos" / "sample-binary" / "1"
    shutil.copytree(bento, place)
    with pytest.raises(RefitError, match="another Bento is there; `bentoml delete sample-binary:1`"):
        build(packages["binary"], "1", store=tmp_path)


def auto(root: Path) -> Path:
    """A package whose only member is a bag, as `models: auto` makes it, of many kinds of model."""
    project(root, "binary", ("logistic",))
    table = read_table(root / "data" / "features" / "features.parquet")
    rows = (table["__split__"] == "train").to_numpy()
    X, y = table.loc[rows, [c for c in table if not c.startswith("__")]], table.loc[rows, "__target__"].to_numpy(float)
    parts, encoders, at = [], [], 0
    for i, (family, params) in enumerate(MEMBERS.items()):
        made = fit_family(family, params, Fold(X, y, X, y), Setup("binary", classes=2))
        end = at + len(made.encoder.names)
        parts.append(BagPart(i, made.fitted, at, end, made.encoder.dtype, 1 / len(MEMBERS)))
        encoders.append(made.encoder)
        at = end
    members = [Member(family=family, params={}, weight=1 / len(MEMBERS), value=0.0) for family in MEMBERS]
    whole = Model(
        "auto", "binary", 2, Joined(encoders), Bag(parts, members, len(encoders)), params={"family": "xgboost"}
    )
    save_model(whole, root / "data" / "models" / "auto" / "model")
    choice = read_json(root / "data" / "evaluation" / "choice.json")
    write_json(root / "data" / "evaluation" / "choice.json", {**choice, "family": "auto", "members": ["auto"]})
    return package(root)


def test_members_within_members_find_what_they_need(tmp_path: Path) -> None:
    """Boosting, forests and networks in one bag answer where nothing is installed but what would be listed."""
    made = auto(tmp_path / "project")
    listed = pins(needed(made), LOCK)
    lay_out(tmp_path / "src", made, sha256(made / "bundle.json"), "sample", "1", listed)
    names = [one.partition("==")[0] for one in listed]
    assert prove(tmp_path / "src", names) == 20
    without = [name for name in names if name != "lightgbm"]
    with pytest.raises(RefitError, match=r"(?s)before it was ready.*lightgbm"):
        prove(tmp_path / "src", without)


def test_a_version_of_the_registry_is_built_whatever_lies_in_the_folder(
    deployed: Path, bento: Path, packages: dict[str, Path], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(deployed / "project", tmp_path / "project"))
    of = [sha256(made / "bundle.json") for made in (packages[TIMED], root / "data" / "package")]
    assert sha256(bento / "src" / "package" / "bundle.json") == of[0] != of[1]
    registry = Registry(deployed / "project")
    assert [one.package_sha256 for one in registry.versions("orders-late")] == of
    with pytest.raises(RefitError, match="no version '3' in the registry; there are '1', '2'"), registered(root, "3"):
        pass
    with pytest.raises(RefitError, match="there is no champion yet"), registered(root, None):
        pass
    DecisionHistory(root).record(
        Decision("orders-late", "promote", "2", "2", of[1], "a test", "a test", "a test"), None
    )
    with registered(root, None) as (found, version):
        assert (version, sha256(found / "bundle.json")) == ("2", of[1])
    with pytest.raises(RefitError, match="give one of them"), patch.object(sys, "argv", ["", *BOTH]):
        main()


# The manifests --------------------------------------------------------------------------------------------------------


def manifests() -> dict[str, dict[str, Any]]:
    """What compose and Kubernetes start: command, folder, user, environment, and whether they may write."""
    folder = Path(deploy.__file__).parent
    compose = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["model"]
    deployment = next(yaml.safe_load_all((folder / "kubernetes.yaml").read_text()))["spec"]["template"]["spec"]
    (container,) = deployment["containers"]
    security = deployment["securityContext"]
    assert security["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert compose["cap_drop"] == ["ALL"]
    (volume,) = deployment["volumes"]
    assert volume["emptyDir"]["medium"] == "Memory"
    return {
        "compose": {
            "command": compose["command"],
            "folder": compose["working_dir"],
            "user": compose["user"],
            "env": compose["environment"],
            "read_only": compose["read_only"],
            "writable": compose["tmpfs"],
            "seconds": int(compose["stop_grace_period"].removesuffix("s")),
        },
        "kubernetes": {
            "command": container["args"],
            "folder": container["workingDir"],
            "user": f"{security['runAsUser']}:{security['runAsGroup']}",
            "env": {one["name"]: one["value"] for one in container["env"]},
            "read_only": container["securityContext"]["readOnlyRootFilesystem"],
            "writable": [mount["mountPath"] for mount in container["volumeMounts"]],
            "seconds": deployment["terminationGracePeriodSeconds"],
        },
    }


def test_both_manifests_start_the_same() -> None:
    compose, kubernetes = manifests().values()
    assert compose == kubernetes
    assert compose["read_only"]
    assert compose["user"] == "1034:1034"  # BentoML's, a number as Kubernetes wants it for runAsNonRoot
    assert compose["seconds"] > float(compose["command"][compose["command"].index("--linger") + 1]) + 20 + 2


# As root, in a mount namespace of its own: a file system that cannot be written to but for /tmp, then another user, who
# may read the interpreter wherever it is (HIDDEN, where it lies below what is covered), and nothing more.
CONTAINER = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for at in $HIDDEN; do mkdir -p "/mnt$at"; mount --bind "$at" "/mnt$at"; done
mount -t tmpfs tmpfs /home
mkdir -p /home/bentoml/bento /home/bentoml/room
mount --bind "$BENTO" /home/bentoml/bento
mount --bind "$ROOM" /home/bentoml/room
mount -t tmpfs tmpfs /tmp
for at in $HIDDEN; do mkdir -p "$at"; mount --bind "/mnt$at" "$at"; done
for at in $HIDDEN /home /home/bentoml/bento /home/bentoml/room /; do mount -o remount,ro,bind "$at"; done
cd "$FOLDER"
exec setpriv --reuid "$ID" --regid "$ID" --clear-groups --no-new-privs --inh-caps -all,+dac_read_search \
    --ambient-caps -all,+dac_read_search --bounding-set -all,+dac_read_search \
    env -i PATH=/home/bentoml/room/bin:/usr/bin:/bin HOME=/home/bentoml "$@"
"""


def test_the_manifests_start(bento: Path) -> None:
    """Their command, user, environment and file system, around a Bento where only what it lists is installed."""
    if os.getuid() or not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("another user and a read-only file system are root's to give")
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/home"], capture_output=True).returncode:
        pytest.skip("the system allows no mounts")
    hidden = {
        p for p in (sys.prefix, sys.base_prefix) if Path(p).is_relative_to("/tmp") or Path(p).is_relative_to("/home")
    }
    how = manifests()["kubernetes"]
    names = [one.partition("==")[0] for one in (bento / "env" / "python" / "requirements.txt").read_text().split()]
    with isolated(names) as python, tempfile.TemporaryFile() as said:
        port = free_port()
        env = {
            **os.environ, "BENTO": str(bento), "ROOM": str(python.parent.parent), "FOLDER": how["folder"],
            "ID": how["user"].partition(":")[0], "HIDDEN": " ".join(sorted(hidden)),
        }  # fmt: skip
        given = [*(f"{k}={v}" for k, v in how["env"].items()), *how["command"], "--port", str(port)]
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", *given], env=env, stdout=said, stderr=said, start_new_session=True
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(1200):
                try:
                    if ask(address, "/readyz")[0] == 200 or process.poll() is not None:
                        break
                except OSError:
                    psutil.wait_procs([psutil.Process(process.pid)], timeout=0.05)
            said.seek(0)
            assert process.poll() is None, said.read().decode()
            about = psutil.Process(process.pid)
            assert about.uids() == (1034, 1034, 1034)
            mounts = Path(f"/proc/{process.pid}/mounts").read_text().splitlines()
            open_to = {line.split()[1]: line.split()[3].split(",")[0] for line in mounts}
            assert (open_to["/"], open_to["/tmp"], open_to["/home/bentoml/bento"]) == ("ro", "rw", "ro")
            package = bento / "src" / "package"
            compare(Manifest.read(package), Golden.read(package).rows, partial(ask, address))
            ready = ask(address, "/readyz")[1]
            assert (ready["model"], ready["version"]) == ("orders-late", "1")
            process.send_signal(signal.SIGTERM)
            assert ask(address, "/readyz")[0] == 503
            assert process.wait(how["seconds"]) == 0
        finally:
            process.kill()
            process.wait()
