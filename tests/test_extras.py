"""What each extra brings, and what a machine without one can do: in environments that have nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from skimage import data

from enhancer.batch.failures import classify, is_systemic
from enhancer.errors import MissingExtraError
from enhancer.extras import EXTRA_OF, imports_of_extras
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.settings import Settings
from tests.slim_environment import PROJECT, SlimEnvironment, build_wheel, slim_environment

CHECKOUT = Path(__file__).parents[1]
TABLE = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    name: {canonicalize_name(Requirement(line).name) for line in lines} - {PROJECT}
    for name, lines in TABLE["optional-dependencies"].items()
}
HEAVY = (
    "torch",
    "torchvision",
    "openvino",
    "cv2",
    "lpips",
    "nncf",
    "onnx",
    "onnxruntime",
    "skimage",
    "scipy",
    "spandrel",
)

DAGS = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("DAGS", *sorted(bag.dags))
print("ERRORS", bag.import_errors)
"""

PAGE = """
import asyncio
from enhancer.settings import Settings
from enhancer_ui.plugin import EnhancerPlugin
from enhancer_ui.reading import Reader, Visitor

async def status(path):
    sent = []
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message): sent.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    await EnhancerPlugin.fastapi_apps[0]["app"](scope, receive, send)
    return sent[0]["status"]

class Anyone(Visitor):
    def __init__(self): ...
    def may_read(self, dag_id): return True

print("STATUS", {int(asyncio.run(status(path))) for path in ("/static/ui.css", "/", "/api/runs")})
print("RUNS", Reader(Settings(), Anyone()).runs(0, 10))
"""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SlimEnvironment]:
    wheel = build_wheel(CHECKOUT, tmp_path_factory.mktemp("wheel"))
    return lambda *extras: slim_environment(wheel, tmp_path_factory.mktemp("slim"), *extras)


@pytest.fixture(scope="module")
def base(make: Callable[..., SlimEnvironment]) -> SlimEnvironment:
    """What the scheduler, the API server and the DAG processor install."""
    return make("airflow")


@pytest.fixture(scope="module")
def worker(make: Callable[..., SlimEnvironment]) -> SlimEnvironment:
    return make("worker")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "cat.png"
    Image.fromarray(np.ascontiguousarray(data.chelsea()[100:148, 100:164])).save(path)
    return path


def test_the_table_is_that_of_pyproject() -> None:
    by_module = packages_distributions()
    absent = [module for module in EXTRA_OF if module not in by_module]
    if absent:
        pytest.skip(f"not installed here, so that their packages are not known: {', '.join(absent)}")
    for module, extra in EXTRA_OF.items():
        if module == "airflow":  # shared by all of its distributions
            continue
        assert {canonicalize_name(name) for name in by_module[module]} & EXTRAS[extra], f"{module} is not of {extra}"
    named = {canonicalize_name(name) for module in EXTRA_OF for name in by_module[module]}
    brought = set().union(*(names for extra, names in EXTRAS.items() if extra != "airflow"))
    assert brought <= named, "a library that no error could name"


def test_all_has_every_extra() -> None:
    [line] = TABLE["optional-dependencies"]["all"]
    assert Requirement(line).extras == set(EXTRAS) - {"all"}


def test_whatever_an_extra_asks_for_is_pinned() -> None:
    files = ("requirements.txt", "requirements-dev.txt")
    lines = [line for name in files for line in (CHECKOUT / name).read_text().splitlines()]
    pinned = {pin.name: pin.specifier for line in lines if line and line[0] != "#" for pin in [Requirement(line)]}
    pinned = {canonicalize_name(name): str(one)[2:] for name, one in pinned.items()}
    asked = [*TABLE["dependencies"], *(line for lines in TABLE["optional-dependencies"].values() for line in lines)]
    for needed in map(Requirement, asked):
        name = canonicalize_name(needed.name)
        assert name == PROJECT or needed.specifier.contains(pinned[name]), needed


def test_an_import_that_fails_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'airflow-image-enhancer\[torch\]'"), imports_of_extras():
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    with pytest.raises(ModuleNotFoundError, match=r"enhancer\.nothing"), imports_of_extras():
        import enhancer.nothing  # noqa: F401


def test_no_picture_is_at_fault_for_a_missing_extra() -> None:
    error = ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert classify(error, "decode").error_class == "missing-extra"
    assert is_systemic(error)
    assert not is_systemic(ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere"))


def test_the_base_has_nothing_that_computes_on_pixels(base: SlimEnvironment) -> None:
    code = f"import importlib.util as u; print([name for name in {HEAVY} if u.find_spec(name)])"
    assert base.run("-c", code).stdout == "[]\n"


def test_the_base_reads_the_dags(base: SlimEnvironment, tmp_path: Path) -> None:
    done = base.run("-c", DAGS, CHECKOUT / "dags", AIRFLOW_HOME=str(tmp_path), ENHANCER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ERRORS {}" in done.stdout
    assert {"image_enhancement", "redrive_failed", "ledger_maintenance"} <= set(done.stdout.split())


def test_the_base_shows_the_page_and_reads_the_ledger(base: SlimEnvironment, tmp_path: Path) -> None:
    env = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "ENHANCER_HOME": str(tmp_path / "home")}
    made = base.run("-m", "enhancer.cli", "ledger", "upgrade", **env)
    assert made.returncode == 0, made.stderr
    done = base.run("-c", PAGE, **env)
    assert done.returncode == 0, done.stderr
    assert "STATUS {401}" in done.stdout, "nobody is logged in, and nothing is unavailable"
    assert "RUNS" in done.stdout
    status = base.run("-m", "enhancer.cli", "batch", "status", "--json", **env)
    assert "missing" not in status.stdout + status.stderr


@pytest.mark.parametrize(
    "command", [("enhance", "-o", "out"), ("score",), ("inspect",)], ids=lambda command: command[0]
)
def test_what_the_base_cannot_do_names_the_extra(
    base: SlimEnvironment, picture: Path, command: tuple[str, ...]
) -> None:
    done = base.run("-m", "enhancer.cli", command[0], picture, *command[1:])
    assert done.returncode in (1, 3), done.stderr
    assert "pip install 'airflow-image-enhancer[worker]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_python_interface_names_the_extra(base: SlimEnvironment) -> None:
    done = base.run("-c", "from enhancer import ImageEnhancer")
    assert "MissingExtraError" in done.stderr
    assert "airflow-image-enhancer[worker]" in done.stderr


def test_the_reference_check_names_the_extra(base: SlimEnvironment) -> None:
    done = base.run("-c", "from enhancer.batch.canary import canary_set; next(canary_set(2, 'night'))")
    assert "MissingExtraError" in done.stderr
    assert "airflow-image-enhancer[worker]" in done.stderr


def test_a_shard_task_of_the_base_fails_and_leaves_its_pictures_alone(base: SlimEnvironment, picture: Path) -> None:
    source = picture.rename(picture.parent / "in" / picture.name).parent
    command = ("batch", "run", "--input-url", source, "--output-url", source.parent / "out", "--json")
    done = base.run("-m", "enhancer.cli", *command, ENHANCER_HOME=str(source.parent / "home"))
    assert done.returncode != 0
    assert "airflow-image-enhancer[worker]" in done.stdout + done.stderr
    assert "quarantined" not in done.stdout.replace('"quarantined": 0', "")


def test_the_worker_enhances_without_torch(worker: SlimEnvironment, picture: Path) -> None:
    out = picture.parent / "out"
    done = worker.run("-m", "enhancer.cli", "enhance", picture, "-o", out, "--scale", "2", ENHANCER_OFFLINE="1")
    assert done.returncode == 0, done.stderr + done.stdout
    [made] = out.glob("*.png")
    assert Image.open(made).size == (128, 96)


def test_a_net_that_needs_torch_names_the_extra(worker: SlimEnvironment, picture: Path, settings: Settings) -> None:
    command = ("enhance", picture, "-o", picture.parent / "out", "--scale", "2", "--set", "model=dat-light-x2")
    ensure(load_catalogue().get("dat-light-x2"), settings)
    done = worker.run("-m", "enhancer.cli", *command, ENHANCER_MODEL_DIR=str(settings.models_path))
    assert done.returncode in (1, 3), done.stdout
    assert "pip install 'airflow-image-enhancer[torch]'" in done.stdout + done.stderr
