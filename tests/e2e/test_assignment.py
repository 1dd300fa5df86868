"""A unit keeps its arm, whoever asks and whenever; a shift moves only the units that it must."""

from __future__ import annotations

from routing.splitter import Splitter
from tests.e2e.real_server import Server, Worlds

UNITS = [f"user {number}" for number in range(300)]


def arms_of(server: Server, row: dict[str, float]) -> dict[str, str]:
    """Unit → the arm that the server assigns to it now."""
    with server.client() as client:
        return {unit: client.predict("credit", unit, row).json["arm"] for unit in UNITS}


def test_an_arm_survives_a_restart_and_a_shift_moves_only_units_into_treatment(fresh: Worlds, rows: list[dict[str, float]]) -> None:
    """The same arm in this process and in two servers; 10 → 50 % moves units into treatment alone; enrolment moves nobody's arm."""
    server = fresh.server().start()
    server.create("credit", {"control": ("dia@1", 90), "treatment": ("dia@2", 10)}, enrolment=0.5)
    before = arms_of(server, rows[0])
    splitter = Splitter(server.plan("credit"))
    server.stop()
    server.start()
    assert arms_of(server, rows[0]) == before == {unit: splitter.assign(unit).arm for unit in UNITS}
    server.put("/v1/endpoints/credit/traffic?wait=20s", {"weights": {"control": 90, "treatment": 10}, "enrolment": 1.0})
    enrolled = arms_of(server, rows[0])
    kept = {unit for unit in UNITS if splitter.assign(unit).enrolled}
    assert 0 < len(kept) < len(UNITS)
    assert all(enrolled[unit] == before[unit] for unit in kept)
    server.put("/v1/endpoints/credit/traffic?wait=20s", {"weights": {"control": 50, "treatment": 50}})
    after = arms_of(server, rows[0])
    moved = {(enrolled[unit], after[unit]) for unit in UNITS if enrolled[unit] != after[unit]}
    assert moved == {("control", "treatment")}
    server.stop()


def test_a_header_names_the_unit_and_the_answer_names_its_arm(server: Server, rows: list[dict[str, float]]) -> None:
    """`X-Tiltyard-Unit` assigns as `unit` does, over v1 and V2 alike; the answer's headers say what its body says."""
    server.create("headers", {"control": ("dia@1", 50), "treatment": ("dia@2", 50)})
    splitter = Splitter(server.plan("headers"))
    tensors = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in rows[0].items()]
    for unit in [*UNITS[:20], *(f"é{number}" for number in range(20))]:
        header, arm = {"X-Tiltyard-Unit": unit.encode().decode("latin-1")}, splitter.assign(unit).arm
        reply = server.request("POST", "/v1/endpoints/headers/predict", {"features": rows[0]}, header)
        assert (reply.json["arm"], reply.headers["X-Tiltyard-Arm"]) == (arm, arm)
        assert reply.headers["X-Tiltyard-Prediction-Id"] == reply.json["prediction_id"]
        infer = server.request("POST", "/v2/models/headers/infer", {"inputs": tensors}, header)
        assert infer.json["parameters"]["arm"] == arm
        assert infer.json["outputs"][0]["data"] == [reply.json["predictions"][0]["value"]]
