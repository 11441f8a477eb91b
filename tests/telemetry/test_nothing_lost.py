"""Every line is counted: through an outage of the store, kills of the collector and rotated files."""

import time

import pytest

from tests.stack import eventually
from tests.telemetry.stores import Telemetry

pytestmark = pytest.mark.timeout(3600)  # the first to use the stack waits for its images' builds

LINES, RATE, KILLS = 6000, 500, 3
BATCH = 4000
"""Lines that a kill may bring twice: what was taken, but not noted as taken."""


def test_no_line_is_missing_after_an_outage_and_kills(telemetry: Telemetry) -> None:
    with telemetry.emitting(LINES, RATE) as service:
        eventually(lambda: telemetry.counted(service)[1] > 0)
        telemetry.compose("stop", "victoria-logs")
        for _ in range(KILLS):
            telemetry.kill_collector()
            time.sleep(1)
        telemetry.compose("start", "victoria-logs")
        eventually(lambda: telemetry.counted(service)[1] == LINES, lambda: str(telemetry.counted(service)))
    lines, numbers = telemetry.counted(service)
    assert numbers == LINES
    assert lines - numbers <= KILLS * BATCH


@pytest.mark.parametrize("length", [100, 16_383, 16_384, 16_385, 40_000, 200_000])
def test_a_line_that_docker_cuts_is_one_line(telemetry: Telemetry, length: int) -> None:
    service = f"long-{length}"
    with telemetry.writing(service, "python", "-c", f"print('a' * {length - 2} + '-z')"):
        asked = f'{{service.name="{service}"}} | fields _msg'
        eventually(lambda: telemetry.lines(asked), lambda: "no line")
        (line,) = telemetry.lines(asked)
    assert line["_msg"] == "a" * (length - 2) + "-z"


def test_lines_of_other_projects_are_left_alone(telemetry: Telemetry) -> None:
    other = telemetry.writing("secret", "echo", "of another project", project=f"{telemetry.project}-other")
    with other, telemetry.emitting(5, 100) as service:  # written later, so that it was read
        eventually(lambda: telemetry.counted(service) == (5, 5))
    assert telemetry.lines('"of another project"') == []


TRACE = "0af7651916cd43dd8448eb211c80319c"
KINDS = f"""
echo plain
echo '{{"message":"of fields","level":"WARNING","trace_id":"{TRACE}"}}'
echo '{{broken'
echo 'time=x level=error msg="of logfmt"' >&2
"""


def test_both_outputs_a_plain_line_and_one_of_fields_are_told_apart(telemetry: Telemetry) -> None:
    asked = '{service.name="kinds"}'
    with telemetry.writing("kinds", "sh", "-c", KINDS):
        eventually(lambda: len(telemetry.lines(asked)) == 4, lambda: str(telemetry.lines(asked)))
    by_message = {line["_msg"]: line for line in telemetry.lines(asked)}
    assert by_message["plain"]["log.iostream"] == "stdout"
    assert "{broken" in by_message
    fields = by_message["of fields"]
    assert (fields["level"], fields["trace_id"]) == ("WARNING", TRACE)
    assert "trace_id" not in fields["_stream"]  # a stream for each would be an index of its own
    logfmt = by_message['time=x level=error msg="of logfmt"']
    assert (logfmt["log.iostream"], logfmt["level"]) == ("stderr", "error")
