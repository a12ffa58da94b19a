"""The values for Airflow's Helm chart against the chart's own schema, Airflow's and our settings, and themselves.

airflow-chart-1.22.0.values.schema.json.gz is ``values.schema.json`` of that release of Apache Airflow's chart
(Apache-2.0), as it was published. No cluster runs here.
"""

from __future__ import annotations

import configparser
import gzip
import json
import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from enhancer.settings import Settings
from tests.dags.options import airflow_options

CHECKOUT = Path(__file__).parents[2]
VALUES = CHECKOUT / "docker" / "kubernetes" / "values.yaml"
POD_PER_TASK = CHECKOUT / "docker" / "kubernetes" / "values-pod-per-task.yaml"
[SCHEMA] = Path(__file__).parent.glob("airflow-chart-*.values.schema.json.gz")


def merged(under, over):
    """As Helm lays one file of values over another: tables key by key, lists and values whole."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {key: merged(under[key], value) if key in under else value for key, value in over.items()}


@pytest.fixture(scope="module")
def schema():
    return json.loads(gzip.decompress(SCHEMA.read_bytes()))


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load(VALUES.read_text())


@pytest.fixture(scope="module")
def both(values):
    return merged(values, yaml.safe_load(POD_PER_TASK.read_text()))


def objections(schema, values):
    return [
        f"{'/'.join(map(str, error.path))}: {error.message}" for error in Draft7Validator(schema).iter_errors(values)
    ]


def unknown(schema, values, path=""):
    """Keys that the schema does not name, which it mostly lets pass; below a free table anything goes."""
    named = schema.get("properties")
    if not isinstance(values, dict) or not named or ("default" in schema and schema["default"] == "See values.yaml"):
        return []
    return [
        slip
        for key, value in values.items()
        for slip in (unknown(named[key], value, f"{path}/{key}") if key in named else [f"{path}/{key}"])
    ]


def test_the_charts_schema_accepts_them(schema, values, both):
    for one in (values, both):
        assert objections(schema, one) == []
        assert unknown(schema, one) == []


def test_a_slip_would_be_found(schema, values):
    slip = deepcopy(values)
    slip["workers"]["celery"]["enabledDefault"] = False
    slip["workers"]["celery"]["sets"] = "gpu"
    assert unknown(schema, slip) == ["/workers/celery/enabledDefault"]
    assert len(objections(schema, slip)) == 1


def test_a_set_of_workers_says_nothing_that_the_chart_does_not_know_of_workers(schema, values):
    """The schema lets a set hold anything."""
    workers = schema["properties"]["workers"]["properties"]
    for one in values["workers"]["celery"]["sets"]:
        assert set(one) - {"name"} <= set(workers["celery"]["properties"]) | set(workers), one["name"]


def test_every_setting_exists(values):
    named = [one["name"] for one in values["env"]] + [one["envName"] for one in values["secret"]]
    named += [one["name"] for workers in values["workers"]["celery"]["sets"] for one in workers["env"]]
    for name in named:
        if name.startswith("AIRFLOW__"):
            section, key = name.removeprefix("AIRFLOW__").lower().split("__")
            assert key in airflow_options()[section], name
        else:
            assert name.removeprefix("ENHANCER_").lower() in Settings.model_fields, name
    for section, keys in values["config"].items():
        assert set(keys) <= set(airflow_options()[section]), section


def test_the_numbers_are_those_of_the_example_configuration(values):
    example = configparser.ConfigParser(interpolation=None)
    example.read(CHECKOUT / "airflow.cfg.example")
    compared = 0
    for section in ("scheduler", "workers", "celery", "celery_broker_transport_options"):
        for key, value in values["config"][section].items():
            assert example[section][key] == value, key
            compared += 1
    assert compared >= 6


def test_each_queue_has_workers_and_no_worker_outgrows_its_pod(values):
    ours = {one["name"]: one["value"] for one in values["env"]}
    sets = values["workers"]["celery"]["sets"]
    served = sorted(queue for one in sets for queue in one["queue"].split(","))
    assert served == sorted({ours["ENHANCER_ENHANCE_QUEUE"], ours["ENHANCER_EVALUATE_QUEUE"], "default"})
    slots = {
        one["queue"].split(",")[0]: one["replicas"] * int(values["config"]["celery"]["worker_concurrency"])
        for one in sets
    }
    pools = dict(re.findall(r"airflow pools set (\w+) (\d+)", VALUES.read_text()))
    wanted = {
        ours["ENHANCER_ENHANCE_POOL"]: slots[ours["ENHANCER_ENHANCE_QUEUE"]],
        ours["ENHANCER_POOL"]: slots[ours["ENHANCER_EVALUATE_QUEUE"]],
    }
    assert {pool: int(number) for pool, number in pools.items()} == wanted
    for one in sets:
        memory_mb = int(one["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
        [worker_mb] = [each["value"] for each in one["env"] if each["name"] == "ENHANCER_WORKER_MEMORY_MB"]
        assert int(worker_mb) < memory_mb


def test_the_page_says_how_to_make_every_secret(values):
    page = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    named = {one["secretName"] for one in values["secret"]} | {
        *values["data"].values(),
        *(value for key, value in values.items() if key.endswith("SecretName")),
    }
    assert named == set(re.findall(r"create secret generic (\S+)", page))
    for one in values["secret"]:
        assert re.search(rf"{one['secretName']} .*--from-literal={one['secretKey']}=", page), one
    assert f"--version {SCHEMA.name.split('-')[2].split('.values')[0]} " in page
