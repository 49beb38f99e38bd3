"""Every word of the page exists in both languages, is used, and stands in a catalogue only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from appliance.cli.verbs import build_verbs
from appliance.drills.plan import AnyCheck
from tests.api.codes import list_codes, list_phases

WEB = Path(__file__).resolve().parents[2] / "appliance/web"
LANGUAGES = ("en", "zh")
# What is written alike everywhere: names, symbols, and what somebody types.
NAMES = r"Proxmox|KVM|VMware|Hyper-V|VirtualBox|qcow2|vmdk|vhdx|vdi|e1000|virtio|NVMe|webhook|zip"
ALIKE = re.compile(r"[\W\d]*|[A-Z0-9 .,/()+&:-]*|(https?|s3)://\S+")


# What the box says by itself, and in English: the page has it in the other languages only.
OF_THE_BOX = ("rules.json", "errors.json")


def catalogue(language: str) -> dict[str, Any]:
    words: dict[str, Any] = {}
    for page in sorted((WEB / "i18n" / language).glob("*.json")):
        if page.name in OF_THE_BOX:
            continue
        for key, text in json.loads(page.read_text("utf-8")).items():
            assert key not in words, f"{key} stands twice, the second time in {page.name}"
            words[key] = text
    return words


def without_remarks(source: str) -> str:
    return re.sub(r"^\s*(?://|/?\*).*$", "", source, flags=re.MULTILINE)


ENGLISH, CHINESE = (catalogue(language) for language in LANGUAGES)
MODULES = {
    path.relative_to(WEB).as_posix(): without_remarks(path.read_text("utf-8"))
    for path in sorted((WEB / "js").rglob("*.js"))
}


def forms(text: str | dict[str, str]) -> list[str]:
    return list(text.values()) if isinstance(text, dict) else [text]


def fields(text: str | dict[str, str]) -> set[str]:
    return {name for form in forms(text) for name in re.findall(r"\{(\w+)\}", form)}


def bare(text: str) -> str:
    return re.sub(rf"\{{\w+\}}|\b(?:{NAMES})\b", "", text).strip(" ;.:()")


def is_chinese(text: str) -> bool:
    return any("\u3400" <= letter <= "\u9fff" for letter in text)


def test_both_languages_have_the_same_areas() -> None:
    areas = [{page.name for page in (WEB / "i18n" / one).glob("*.json")} for one in LANGUAGES]
    assert areas[0] == areas[1]


def test_both_languages_have_the_same_keys() -> None:
    assert set(ENGLISH) ^ set(CHINESE) == set()


def test_both_languages_fill_in_the_same_values() -> None:
    # A form for one may say it without the number.
    assert not {key for key in ENGLISH if fields(ENGLISH[key]) != fields(CHINESE[key])}


def test_plurals_have_the_forms_of_their_language() -> None:
    assert not {
        key
        for key, text in ENGLISH.items()
        if isinstance(text, dict) and set(text) != {"one", "other"}
    }
    assert not {
        key for key, text in CHINESE.items() if isinstance(text, dict) and set(text) != {"other"}
    }


def test_chinese_is_chinese_and_english_is_not() -> None:
    left = {
        key: text
        for key, text in CHINESE.items()
        for form in forms(text)
        if not is_chinese(form) and not ALIKE.fullmatch(bare(form))
    }
    assert not left
    assert not {key for key, text in ENGLISH.items() if any(map(is_chinese, forms(text)))}


def test_no_text_is_empty() -> None:
    assert not {
        key for words in (ENGLISH, CHINESE) for key, text in words.items() if not all(forms(text))
    }


# ---- what the box says --------------------------------------------------------------------------

RULE = re.compile(
    r"rule=f?\"([\w.{}-]+)\""  # by name
    r"|\"((?:box|disk|power|array|space|network|clock|machine)\.[a-z-]+)\","  # by place
)
# Parts of findings about disks are named without `disk.` in these.
OF_DISKS = ("counter_rules", "limit_rules", "verdict_rules")
NO_RULES = {"box.pem", "box.key", "disk.raw", "disk.sock"}


def named_rules() -> set[str]:
    """Rules of findings as the program names them: `array.degraded`, and `ipmi` of `ipmi.{…}`."""
    found = set()
    for path in sorted((WEB.parent).rglob("*.py")):
        text = path.read_text("utf-8")
        if "Finding" in text:
            found |= {name or place for name, place in RULE.findall(text)}
        if path.stem in OF_DISKS:
            words = r"(?:exam\.finding\(|0x\d\d: \(|CounterRule\(\n\s+\"[\w-]+\",)\s+\"([a-z-]+)\","
            found |= {f"disk.{name}" for name in re.findall(words, text)}
    found = {rule.partition("{")[0].rstrip(".") for rule in found - NO_RULES}
    kinds = {f"box.memory-{kind}" for kind in ("corrected", "uncorrected")}
    return (found - {"box.memory-"}) | kinds


def test_what_every_finding_means_is_said_in_the_other_language() -> None:
    said = json.loads((WEB / "i18n/zh/rules.json").read_text("utf-8"))
    rules = named_rules()
    assert len(rules) > 50
    wanted = {f"rule.{rule}.{part}" for rule in rules for part in ("what", "then", "do")}
    rule_words = {key for key in said if key.startswith("rule.")}
    assert not rule_words - wanted, "no finding has these rules"
    # One that is younger than its translation is shown in the box's own words: never many.
    assert len(wanted - set(said)) < len(rules) // 4, wanted - set(said)
    assert not {key for key, text in said.items() if not is_chinese(text)}
    for page in OF_THE_BOX:
        assert json.loads((WEB / "i18n/en" / page).read_text("utf-8")) == {}


# Names of the kernel's and of programs: alike in all languages.
STANDARD_NAMES = {
    *("NTPSynchronized", "array_state", "bitmap", "cache_type of the disk", "carrier"),
    *("device/state", "mismatch_cnt", "queue/write_cache", "upsc"),
}


def test_what_was_measured_is_named_in_the_other_language() -> None:
    said = json.loads((WEB / "i18n/zh/rules.json").read_text("utf-8"))
    texts = [path.read_text("utf-8") for path in WEB.parent.rglob("*.py")]
    names = {name for text in texts for name in re.findall(r"\bEvidence\(\s*\"([^\"]+)\"", text)}
    assert len(names) > 20
    wanted = {f"evidence.{name.replace(' ', '_')}" for name in names - STANDARD_NAMES}
    # As with rules: one that is younger is shown as the box calls it.
    assert len(wanted - set(said)) < len(names) // 4, wanted - set(said)


def test_every_check_of_a_drill_has_a_name() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(AnyCheck)}
    prefix = "drills.check."
    assert {key.removeprefix(prefix) for key in ENGLISH if key.startswith(prefix)} == kinds


def test_every_verb_that_becomes_a_job_has_a_name() -> None:
    jobs = {f"verb.{verb.name.replace(' ', '_')}" for verb in build_verbs() if verb.is_job}
    quick = {f"verb.{verb.name.replace(' ', '_')}" for verb in build_verbs() if verb.is_quick}
    assert not {name for name in jobs - quick if name not in ENGLISH}
    assert not {key for key in ENGLISH if key.startswith("verb.") and key not in jobs}


def test_every_code_of_an_error_has_words() -> None:
    said = json.loads((WEB / "i18n/zh/errors.json").read_text("utf-8"))
    general = {key for key in CHINESE if key.startswith("problem.")}
    close = {code for code in list_codes() if f"problem.{code}" not in general}
    assert len(close) > 100
    # In English those are the line of the error itself.
    assert not {f"error.{code}" for code in close} - set(said)
    assert not {key for key, text in said.items() if not is_chinese(text)}
    assert {name for text in said.values() for name in fields(text)} == {"detail"}


def test_every_phase_has_words_in_both_languages() -> None:
    phases = {f"phase.{name.replace(' ', '_')}": about for name, about in list_phases().items()}
    assert not phases.keys() - ENGLISH.keys()
    assert {key: bool(fields(ENGLISH[key])) for key in phases} == phases


@pytest.mark.parametrize("source", ["progress.phase(f'reading {it}')", "progress.phase(name)"])
def test_a_phase_that_is_no_constant_is_found(source: str, tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(source)
    with pytest.raises(AssertionError, match="of many names"):
        list_phases(tmp_path)


# ---- what modules ask for -----------------------------------------------------------------------

KEY = r"[a-z]\w*(?:\.[\w-]+)+"


def asked_keys() -> Iterator[tuple[str, str]]:
    for name, source in MODULES.items():
        for call in re.findall(rf"\b(?:t|parts|has)\(\s*[\"']({KEY})[\"']", source):
            yield name, call


def dynamic_prefixes() -> set[str]:
    """`state.` of t(`state.${name}`), and the same for keys that are put together first."""
    return {
        prefix
        for source in MODULES.values()
        for prefix in re.findall(r"`([a-z]\w*(?:\.\w*)*[._])\$\{", source)
        if "." in prefix
    }


def test_every_key_that_a_module_asks_for_exists() -> None:
    assert not {f"{name}: {key}" for name, key in asked_keys() if key not in ENGLISH}


def test_every_text_is_used() -> None:
    quoted = {
        key for source in MODULES.values() for key in re.findall(rf"[\"'`]({KEY})[\"'`]", source)
    }
    prefixes = tuple(dynamic_prefixes())
    left = {key for key in ENGLISH if key not in quoted and not key.startswith(prefixes)}
    # `named(WAITS, "boot.wait")` asks for whatever is below that.
    assert not {key for key in left if key.rpartition(".")[0] not in quoted}


# ---- no text in templates -----------------------------------------------------------------------

SPOKEN = re.compile(
    r"\b(?:aria-label|title|placeholder|alt|label|hint)=\"([^\"]*[A-Za-z]{2,}[^\"]*)\""
)
# Never translated: names, and what stands on keys.
PROPER = {"Holdfast", "SHA-256", "Ctrl-Alt-Del"}


def template_text(source: str) -> Iterator[str]:
    """What html`...` templates say by themselves: their text without tags and `${...}`."""
    for start in (found.end() for found in re.finditer(r"html`", source)):
        text, depth, at = [], 0, start
        while at < len(source):
            if source.startswith("${", at):
                depth, at = depth + 1, at + 2
                continue
            letter = source[at]
            if depth == 0 and letter == "`":
                break
            depth += (letter == "{") - (letter == "}") if depth else 0
            if depth == 0:
                text.append(letter if letter != "}" else "")
            at += 1
        yield "".join(text)


def said(template: str) -> list[str]:
    outside = re.sub(r"<!--.*?-->|<[^<>]*>", "\0", template, flags=re.DOTALL)
    words = [word.strip() for word in outside.split("\0")]
    return [word for word in words if re.search(r"[A-Za-z]{2,}", word) and word not in PROPER]


def test_templates_say_nothing_that_is_not_in_a_catalogue() -> None:
    found = {
        name: words
        for name, source in MODULES.items()
        if (words := [word for template in template_text(source) for word in said(template)])
    }
    assert not found
    spoken = {name: SPOKEN.findall(text) for name, text in MODULES.items()}
    assert not {name: words for name, words in spoken.items() if words}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('html`<p class="a">Hello ${name}</p>`', ["Hello"]),
        ('html`<p>${t("a.b", {c: `x${d}`})}</p>`', []),
        ("html`<b>${a ? html`<i>deep down</i>` : null}</b>`", ["deep down"]),
    ],
)
def test_untranslated_text_is_found(source: str, words: list[str]) -> None:
    assert [word for template in template_text(source) for word in said(template)] == words
