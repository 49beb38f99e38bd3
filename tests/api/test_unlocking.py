"""The passphrase of the store is not guessed through the box."""

from __future__ import annotations

from dataclasses import replace

from tests.api.box import Box, Client


def test_whoever_guesses_the_passphrase_of_the_store_has_to_wait(
    box: Box, admin: Client, tokens: dict[str, Client]
) -> None:
    # From elsewhere than other tests, whose wrong passphrases count as well.
    operator = replace(tokens["operator"], address="127.0.0.9")
    answers = [
        operator.ask("POST", "/box/unlock", {"passphrase": f"guess {number}"})
        for number in range(7)
    ]
    assert {answer.status for answer in answers[:5]} == {403}, answers[0].body
    assert answers[-1].status == 429
    assert float(answers[-1].json()["retry_after_s"]) > 1
    assert admin.get("/box")["is_unlocked"]
