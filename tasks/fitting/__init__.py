"""What families stand on: what is to be fitted, spaces of parameters, devices, and what several families share."""
