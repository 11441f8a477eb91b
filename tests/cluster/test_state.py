"""Jobs in PostgreSQL and documents in S3: as many job processes as there is work for, on any node, and none is lost."""

from tests.cluster.stories import Stories


def test_without_a_job_process_the_depth_is_told_and_the_jobs_are_done_later(stories: Stories) -> None:
    stories.scaled.result()


def test_whatever_is_killed_each_job_has_one_result(stories: Stories) -> None:
    stories.killed.result()


def test_whoever_takes_jobs_is_killed_and_none_is_lost_that_was_accepted(stories: Stories) -> None:
    stories.taken.result()
