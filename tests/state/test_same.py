"""What holds for jobs in `RUNS_DIR` holds for those in PostgreSQL: the same tests, over `conftest.py`'s services."""

# ruff: noqa: F401  (pytest finds them by their names)

from tests.unit import test_jobs, test_jobs_shared
from tests.unit.test_jobs import (
    test_a_delete_as_a_job_ends_is_heard_by_who_ends_it,
    test_a_document_that_cannot_be_redacted_fails_at_once,
    test_a_failing_model_is_tried_again_later_and_then_given_up,
    test_a_form_is_a_job_for_each_document,
    test_a_form_is_accepted_as_a_whole_or_not_at_all,
    test_a_form_of_too_many_documents_is_refused,
    test_a_form_sent_again_under_its_key_is_the_same_jobs,
    test_a_job_can_be_removed_at_any_time,
    test_a_job_goes_on_with_its_requests_ids_and_trace,
    test_a_job_is_accepted_done_and_fetched,
    test_a_job_is_in_one_pair_of_hands,
    test_a_job_process_that_stops_gives_its_job_back,
    test_a_job_that_ends_every_process_is_given_up_and_one_that_ends_some_is_not,
    test_a_job_whose_acceptance_was_not_heard_of_keeps_its_document,
    test_a_job_whose_document_is_gone_ends,
    test_a_key_is_of_a_document_or_of_a_form,
    test_a_key_sent_again_while_its_job_is_being_removed_is_no_promise,
    test_a_models_own_trouble_with_files_is_the_models,
    test_every_status_is_counted_from_0,
    test_finished_jobs_expire_by_age,
    test_no_room_is_said,
    test_one_delete_is_enough_of_a_job_that_is_just_ending,
    test_parts_of_a_result_and_what_is_no_part_of_it,
    test_the_api_has_old_jobs_go_while_there_is_no_job_process,
    test_the_api_tells_what_waits_while_there_is_no_job_process,
    test_the_same_idempotency_key_is_the_same_job,
    test_too_large_a_document_leaves_nothing,
    test_what_a_refused_form_repeats_stays,
    test_what_is_no_job_is_a_problem,
    test_what_takes_too_much_goes_the_largest_clients_oldest_first,
    test_what_was_put_off_and_is_due_comes_before_what_is_younger,
)
from tests.unit.test_jobs_shared import (
    many,
    test_a_browser_saves_a_result_and_runs_nothing_of_it,
    test_a_clients_own_oldest_results_make_room_for_it,
    test_a_job_takes_a_bound_of_cpu_time_and_then_fails,
    test_a_result_is_whole_or_not_there_whenever_its_job_is_removed,
    test_a_result_that_outgrows_the_share_costs_its_clients_others,
    test_an_upload_over_the_share_is_refused_as_it_comes,
    test_no_address_is_kept,
    test_nothing_reads_all_jobs,
    test_one_clients_endless_jobs_hold_nobody_up,
    test_one_clients_uploads_take_half_and_evict_nobodys_result,
    test_pages_have_every_job_of_the_owner_once_the_newest_first,
    test_results_are_read_while_jobs_are_removed,
    test_the_next_job_is_the_fairest_clients,
    test_two_clients_with_one_idempotency_key_do_not_meet,
    test_what_is_no_cursor_is_a_422,
    test_without_keys_a_form_is_listed_to_whoever_has_its_id,
)

NOT_HERE = {
    "files and SQLite": {
        "test_a_disk_that_fails_while_jobs_are_taken_over_does_not_keep_the_service_from_its_start",
        "test_a_disk_that_is_gone_leaves_what_was_told_last",
        "test_a_disk_that_takes_no_record_raises_nothing_and_loses_nothing",
        "test_a_form_there_is_no_room_for_leaves_no_job",
        "test_a_full_disk_puts_a_job_off_and_takes_none_of_its_attempts",
        "test_a_job_that_is_not_surely_on_disk_is_none",
        "test_a_result_is_surely_on_disk_before_its_job_has_succeeded",
        "test_an_original_that_a_kill_has_left_goes_with_the_next_clearing_up",
        "test_jobs_and_uploads_are_charged_what_they_take_on_disk",
        "test_jobs_of_version_1_are_taken_over",
        "test_jobs_whose_directories_are_gone_end_and_hold_up_no_other",
        "test_no_statement_takes_more_steps_with_more_jobs",
        "test_the_original_goes_when_its_job_ends",
        "test_what_a_killed_upload_left_expires_within_hours",
        "test_what_version_1_still_writes_about_a_job_it_holds_counts",
    },
    "the queue": {
        "test_a_job_is_accepted_without_the_queue_and_named_by_the_sweep",
        "test_a_redis_that_is_gone_loses_no_job",
        "test_depth_and_age_are_told_while_the_queue_is_gone",
        "test_what_the_service_puts_into_the_queue_a_job_process_understands",
    },
    "what is not kept": {
        "test_a_job_of_a_request_that_was_sampled_is_sampled_whatever_the_share",
        "test_a_part_that_is_encoded_is_not_taken_for_what_it_says",
        "test_an_id_cannot_be_guessed_from_its_key",
        "test_content_codings_of_several_headers_count_together",
        "test_no_error_ends_the_counts",
        "test_nobody_waits_on_the_event_loop_for_what_keeps_jobs_nor_in_its_threads",
        "test_sweeps_are_rarer_the_longer_they_take",
        "test_the_cursor_is_described",
        "test_the_secret_is_its_owners_alone_and_one_however_many_make_it",
        "test_what_is_waited_for_until_the_database_answers_is_no_reason_for_rarer_counts",
        "test_without_keys_nothing_is_listed_and_it_says_what_it_takes",
    },
}
"""Tests that are not of what both back ends keep, by what they are of."""


def test_no_other_test_is_left_out() -> None:
    every = {name for module in (test_jobs, test_jobs_shared) for name in vars(module) if name.startswith("test_")}
    assert every - set(globals()) == set[str]().union(*NOT_HERE.values())
