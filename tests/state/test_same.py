"""What holds for jobs in `RUNS_DIR` holds for those in PostgreSQL: the same tests, over `conftest.py`'s services."""

# ruff: noqa: F401  (pytest finds them by their names)

from tests.unit.test_jobs import (
    test_a_delete_as_a_job_ends_is_heard_by_who_ends_it,
    test_a_document_that_cannot_be_redacted_fails_at_once,
    test_a_failing_model_is_tried_again_later_and_then_given_up,
    test_a_form_is_a_job_for_each_document,
    test_a_form_is_accepted_as_a_whole_or_not_at_all,
    test_a_form_sent_again_under_its_key_is_the_same_jobs,
    test_a_job_can_be_removed_at_any_time,
    test_a_job_is_accepted_done_and_fetched,
    test_a_job_is_in_one_pair_of_hands,
    test_a_job_process_that_stops_gives_its_job_back,
    test_a_job_that_ends_every_process_is_given_up_and_one_that_ends_some_is_not,
    test_a_key_is_of_a_document_or_of_a_form,
    test_a_key_sent_again_while_its_job_is_being_removed_is_no_promise,
    test_a_models_own_trouble_with_files_is_the_models,
    test_finished_jobs_expire_by_age,
    test_one_delete_is_enough_of_a_job_that_is_just_ending,
    test_parts_of_a_result_and_what_is_no_part_of_it,
    test_the_same_idempotency_key_is_the_same_job,
    test_what_a_refused_form_repeats_stays,
    test_what_is_no_job_is_a_problem,
    test_what_takes_too_much_goes_the_largest_clients_oldest_first,
    test_what_was_put_off_and_is_due_comes_before_what_is_younger,
)
from tests.unit.test_jobs_shared import (
    many,
    test_a_browser_saves_a_result_and_runs_nothing_of_it,
    test_a_clients_own_oldest_results_make_room_for_it,
    test_a_result_is_whole_or_not_there_whenever_its_job_is_removed,
    test_a_result_that_outgrows_the_share_costs_its_clients_others,
    test_an_upload_over_the_share_is_refused_as_it_comes,
    test_nothing_reads_all_jobs,
    test_one_clients_endless_jobs_hold_nobody_up,
    test_one_clients_uploads_take_half_and_evict_nobodys_result,
    test_results_are_read_while_jobs_are_removed,
    test_two_clients_with_one_idempotency_key_do_not_meet,
    test_without_keys_a_form_is_listed_to_whoever_has_its_id,
)
