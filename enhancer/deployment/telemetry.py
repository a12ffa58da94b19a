"""OpenVINO's converter and NNCF report their use to a server by default; here that is switched off."""

from __future__ import annotations

import os
import sys


def silence() -> None:
    """Keep both quiet in this process; to be called before either is imported."""
    os.environ["NNCF_CI"] = "1"  # NNCF's own switch
    if "openvino_telemetry" not in sys.modules:
        from openvino.tools.ovc import telemetry_stub

        sys.modules["openvino_telemetry"] = telemetry_stub  # what OpenVINO itself uses where the package is missing
