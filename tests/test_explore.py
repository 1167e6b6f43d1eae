"""``explore``: every state is computed at execution, shown in the page, and reported when it fails."""

from __future__ import annotations

import itertools

import pytest

from browser import PHONE, call, open_page
from utils.widgets import Explore, explore

CHOICES = {"stride": [1, 2, 3], "padding": [0, 1], "mode": ["zeros", "reflect"]}


def sentence(stride, padding, mode):
    import matplotlib.pyplot as plt

    plt.figure(figsize=(2, 1))
    plt.plot([0, stride, padding])
    return f"stride {stride}, padding {padding}, {mode}"


def test_every_state_is_stored_in_order():
    figure = explore(sentence, **CHOICES)
    assert figure.texts == [f"stride {s}, padding {p}, {m}" for s, p, m in itertools.product(*CHOICES.values())]
    assert all(p.startswith("data:image/png;base64,") for p in figure.pictures)
    assert len(set(figure.pictures)) == 6  # the mode is not drawn


def test_the_page_shows_the_chosen_state(browser):
    page = open_page(browser, explore(sentence, start={"stride": 2}, **CHOICES), explore(sentence, **CHOICES))
    first, second = page.locator(".cx").all()
    status = lambda root: root.locator("[aria-live]").inner_text()  # noqa: E731
    assert status(first) == "stride 2, padding 0, zeros"
    for s, p, m in itertools.product(range(3), range(2), range(2)):
        for name, value in zip(CHOICES, (s, p, m), strict=True):
            first.get_by_label(name).fill(str(value))
        expected = f"stride {CHOICES['stride'][s]}, padding {p}, {CHOICES['mode'][m]}"
        assert status(first) == expected == first.locator("img").get_attribute("alt")
    assert status(second) == "stride 1, padding 0, zeros"  # the other one stays as it is
    first.get_by_label("stride").press("ArrowLeft")
    assert status(first) == "stride 2, padding 1, reflect"
    first.get_by_role("button", name="Reset").click()
    assert status(first) == "stride 2, padding 0, zeros"
    assert page.problems == []
    page.close()


def test_it_fits_a_phone(browser):
    page = open_page(browser, explore(sentence, **CHOICES), width=PHONE, theme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    page.close()


def test_state_index(browser):
    page = open_page(browser, explore(sentence, **CHOICES))
    sizes = [3, 2, 4]
    states = list(itertools.product(*map(range, sizes)))
    assert [call(page, Explore._esm, "stateIndex", list(s), sizes) for s in states] == list(range(24))
    page.close()


def two_figures(**_):
    import matplotlib.pyplot as plt

    plt.figure(), plt.figure()
    return "x"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: explore(sentence), "nothing to choose"),
        (lambda: explore(sentence, stride=3), "choices of stride are 3"),
        (lambda: explore(sentence, stride=[]), "at least one value"),
        (lambda: explore(sentence, mode="zeros"), "choices of mode are 'zeros'"),
        (lambda: explore(lambda n: 1 / n and "x", n=[1, 0]), "state n=0 cannot be computed: division by zero"),
        (lambda: explore(lambda n: None, n=[1]), "state n=1 returned None"),
        (lambda: explore(two_figures, n=[1]), "2 figures were drawn"),
        (lambda: explore(lambda n: "x" * n, n=[99], budget=10), "take 99 bytes, more than the 10 allowed"),
        (lambda: explore(lambda n: "x", start={"n": 5}, n=[1]), r"start n=5 is none of its choices \[1\]"),
        (lambda: explore(lambda n: "x", start={"m": 1}, n=[1]), "start names m"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
