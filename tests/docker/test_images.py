"""The Dockerfile: linted, and those of its steps that need no container engine carried out here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[2]
DOCKER = CHECKOUT / "docker"
BIN = Path(sysconfig.get_path("scripts"))


def run(*command, **more):
    return subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, **more)


def test_hadolint_finds_nothing():
    done = run(BIN / "hadolint", "--failure-threshold", "style", DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN pip install torch\n")
    done = run(BIN / "hadolint", "--failure-threshold", "style", bad)
    assert done.returncode == 1
    assert {"DL3006", "DL3013"} <= set(re.findall(r"DL\d+", done.stdout))


def steps(name):
    """The RUN instructions of a stage of the Dockerfile, as a shell gets them, without their mounts."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    [stage] = [part for part in text.split("\nFROM ")[1:] if part.splitlines()[0].endswith(name)]
    return [re.sub(r"--mount=\S+ ", "", line).removeprefix("RUN ") for line in stage.splitlines() if line[:4] == "RUN "]


def test_only_pytorch_is_asked_of_its_index_and_nothing_stays_in_a_layer(tmp_path):
    """The step as it stands, with a pip that writes down what it was given, under the shell that every builder has."""
    [step] = steps("AS cpu-packages")
    (tmp_path / "requirements.txt").write_text((CHECKOUT / "requirements.txt").read_text())
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text(
        '#!/bin/sh\necho "$@" >> "$CALLS"\nfor last; do :; done\ncat "$last" >> "$CALLS"\necho END >> "$CALLS"\n'
    )
    pip.chmod(0o755)
    calls = tmp_path / "calls"
    around = {"PATH": f"{pip.parent}:/usr/bin:/bin", "CALLS": str(calls), "TORCH_INDEX": "https://index.example/cpu"}
    done = run("/bin/sh", "-c", step.replace("/tmp/", f"{tmp_path}/"), env=around)
    assert done.returncode == 0, done.stderr
    first, second, _ = calls.read_text().split("END\n")
    assert "--index-url https://index.example/cpu" in first
    assert "--no-deps" in first
    assert [line.split("==")[0] for line in first.splitlines()[1:]] == ["torch", "torchvision"]
    assert "index" not in second.splitlines()[0], "everything else comes from where pip looks by itself"
    everything = (CHECKOUT / "requirements.txt").read_text().splitlines()
    assert sorted(first.splitlines()[1:] + second.splitlines()[1:]) == sorted(everything)
    assert {path.name for path in tmp_path.iterdir()} == {"requirements.txt", "bin", "calls"}


def test_what_pytorch_requires_is_pinned_beside_it():
    """It is installed without its requirements; CUDA's libraries apart, which the wheel for CPUs does not ask for."""
    pinned = {line.split("==")[0] for line in (CHECKOUT / "requirements.txt").read_text().splitlines() if "==" in line}
    cuda = re.compile(r"nvidia-|cuda-|triton|pytorch-triton")
    for name in ("torch", "torchvision"):
        for text in requires(name) or ():
            requirement = Requirement(text)
            if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and not cuda.match(
                requirement.name
            ):
                assert canonicalize_name(requirement.name) in {canonicalize_name(one) for one in pinned}, text


def test_no_instruction_needs_a_hub_or_one_image_format():
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("# syntax", "SHELL"))]
    assert not [line for line in lines if line.startswith("COPY")], "what a layer keeps cannot be taken out of it again"


def sent(checkout):
    """The files that a builder takes from `checkout`, by docker-py's reading of .dockerignore (that of the classic builder)."""
    rules = [
        line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    return {name for name in exclude_paths(str(checkout), rules) if (checkout / name).is_file()}


def test_no_secret_is_sent_to_a_builder(tmp_path):
    """The file is the one at the root, which every builder reads; beside the Dockerfile only BuildKit would look."""
    assert not (DOCKER / "Dockerfile.dockerignore").exists(), "BuildKit would read it instead"
    wanted = {"requirements.txt", "pyproject.toml", "README.md", "LICENSE", "enhancer/cli/app.py", "dags/nightly.py"}
    secret = {
        "docker/.env", "docker/.env.old", ".env", ".git/config", ".netrc", ".demo/login.json", ".venv/bin/python",
        "demo-output/a.png", "runs/net.pt", "airflow.cfg", "enhancer/.env", "dags/.env.production",
        "enhancer/__pycache__/x.cpython-311.pyc", "tests/test_x.py",
    }  # fmt: skip
    for name in wanted | secret:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert sent(tmp_path) == wanted


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """What a builder is sent: the checkout less what .dockerignore leaves out."""
    folder = tmp_path_factory.mktemp("context")
    for name in sent(CHECKOUT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, folder / name)
    return folder


def test_the_package_installs_from_the_context_with_all_its_files(context, tmp_path):
    """The image's last pip step, into a folder of its own; what is not Python must come along (Alembic's template apart)."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    [options] = re.findall(r"pip install ([a-z -]+) /src", dockerfile)
    done = run(sys.executable, "-m", "pip", "install", "-q", *options.split(), "--target", tmp_path / "site", context)
    assert done.returncode == 0, done.stderr
    source = {
        str(path.relative_to(context))
        for path in (context / "enhancer").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".md", ".mako"}
    }
    assert source, "the bundled nets and templates are among them"
    assert {name for name in source if not (tmp_path / "site" / name).is_file()} == set()
    assert (tmp_path / "site" / "enhancer_ui" / "templates").is_dir()
    code = "import enhancer, importlib.metadata as m; print(enhancer.__file__); print(m.entry_points(group='airflow.plugins'))"
    where = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert where.stdout.startswith(str(tmp_path / "site" / "enhancer")), where.stderr
    assert "enhancer_ui.plugin:EnhancerPlugin" in where.stdout


def test_the_system_libraries_of_the_wheels_are_installed():
    """Every library that a pinned wheel takes from the system and that a slim Python image lacks has its package."""
    in_the_image = {"c", "m", "pthread", "dl", "rt", "util", "resolv", "mvec", "gcc_s", "stdc++", "z"}
    packages = {"glib-2.0": "libglib2.0-0", "pcre2-8": "libglib2.0-0"}  # pcre2 comes with glib
    site = Path(find_spec("lensfunpy").origin).parents[1]  # an environment may take its packages from another one
    compiled = [
        path
        for name in ("lensfunpy*", "cv2", "skimage", "imagecodecs*", "opencv*.libs", "psycopg*", "lxml", "grpc", "pywt")
        for folder in site.glob(name)
        for path in folder.rglob("*.so*")
    ]
    assert compiled
    wanted = set(re.findall(r"lib([^ ]+?)\.so[.0-9]* => /(?:usr/)?lib", run("ldd", *compiled).stdout))
    missing = wanted - in_the_image
    assert {packages[name] for name in missing} == {"libglib2.0-0"}
    assert "libglib2.0-0" in (DOCKER / "Dockerfile").read_text()
