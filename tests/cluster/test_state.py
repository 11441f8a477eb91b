"""Jobs in PostgreSQL and documents in S3: as many job processes as there is work for, on any node, and none is lost."""

import re

from tests.cluster import runbook
from tests.cluster.cluster import ELSEWHERE, kubectl
from tests.cluster.stories import Stories


def test_without_a_job_process_the_depth_is_told_and_the_jobs_are_done_later(stories: Stories) -> None:
    stories.scaled.result()


def test_whatever_is_killed_each_job_has_one_result(stories: Stories) -> None:
    stories.killed.result()


def test_whoever_takes_jobs_is_killed_and_none_is_lost_that_was_accepted(stories: Stories) -> None:
    stories.taken.result()


def test_whatever_reads_the_application_s_secrets_is_restarted_for_new_ones(stories: Stories) -> None:
    stories.scaled.result()
    commands = "\n".join(runbook.sections()["Another certificate, other keys"])
    (selector,) = set(re.findall(r" rollout \w+ deployment -l '(.*)'$", commands, re.MULTILINE))
    found = kubectl("get", "deployment", "-l", selector, "-o", "name", namespace=ELSEWHERE)
    assert set(found.split()) == {"deployment.apps/api", "deployment.apps/jobs"}
