//! Lessons, gone through with the keyboard alone: every answer, right or wrong, a try that misses, and the
//! task. Pictures of every step are kept in `target/pictures/lessons`.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::command::root;
use crate::tools::target_folder;
use crate::visits::{SCREENS, Visitor};
use crate::webdriver::keys;

/// How a lesson's task is solved.
struct Solution {
    lesson: &'static str,
    go: Go,
    /// Where the tabulator leads to, one after another, and what is pressed there.
    deeds: &'static [(&'static str, &'static [char])],
}

/// How its moment is found.
enum Go {
    Stay,
    /// By the button that leads to a part of the compaction.
    Jump(&'static str),
    /// By steps, until the last event of the log has one of these words after another.
    Step(&'static [&'static str]),
}

const SOLUTIONS: [Solution; 4] = [
    Solution {
        lesson: "1-commit",
        go: Go::Step(&["written to", "synced", "written to"]),
        deeds: &[
            ("#break summary", ENTER),
            ("#lose", ENTER),
            ("#loss [value=none]", &[keys::DOWN]),
            ("#loss [value=lose]", ENTER),
        ],
    },
    Solution {
        lesson: "2-copy",
        go: Go::Jump("start"),
        deeds: &[
            ("#settings > summary", ENTER),
            ("#settings details:nth-of-type(2) summary", ENTER),
            ("#settings [name=device]", &['t', 'u']),
            ("#settings [data-chosen=device]", ENTER),
        ],
    },
    Solution {
        lesson: "3-catch-up",
        go: Go::Stay,
        deeds: &[("#act summary", ENTER), ("#act [data-do=burst]", ENTER)],
    },
    Solution {
        lesson: "4-swap",
        go: Go::Jump("round 1"),
        deeds: &[
            ("#settings > summary", ENTER),
            ("#settings details:nth-of-type(3) summary", ENTER),
            ("#settings [data-do=rounds]", ENTER),
        ],
    },
];

const ENTER: &[char] = &[keys::ENTER];
/// The end of what is told lies above the buttons that stay at the bottom.
const IN_VIEW: &str = "document.querySelector('#lesson .told').getBoundingClientRect().bottom \
    <= document.querySelector('#lesson form > .row').getBoundingClientRect().top + 1";
/// A try that solves none of them.
const MISS: [(&str, &[char]); 2] = [("#act summary", ENTER), ("#act [data-needs=read]", ENTER)];

pub(crate) fn go_through(visitor: &Visitor<'_>) -> Result<()> {
    for (index, solution) in SOLUTIONS.iter().enumerate() {
        let name = solution.lesson;
        let text = fs::read_to_string(root().join(format!("www/lessons/{name}.json")))?;
        let pupil = Pupil { visitor, lesson: serde_json::from_str(&text)?, solution };
        pupil.learn(index + 1).with_context(|| format!("lesson {name}"))?;
    }
    Ok(())
}

struct Pupil<'a> {
    visitor: &'a Visitor<'a>,
    lesson: Value,
    solution: &'a Solution,
}

impl Pupil<'_> {
    fn learn(&self, number: usize) -> Result<()> {
        let Pupil { visitor, solution, .. } = self;
        visitor.open("")?;
        self.enter("#learn")?;
        self.enter(&format!("#lesson li:nth-child({number}) button"))?;
        let steps = self.lesson["steps"].as_array().context("it has no steps")?;
        for (index, step) in steps.iter().enumerate() {
            let shown = format!("Step {} of {}", index + 1, steps.len());
            visitor.session.wait_for(&format!(
                "document.body.dataset.lesson === '{}' && document.body.dataset.run === 'complete' \
                 && document.getElementById('lesson').innerText.includes('{shown}')",
                solution.lesson
            ))?;
            self.look(index, "")?;
            if step["ask"].is_object() {
                self.answer(&step["ask"])?;
                self.look(index, "-answered")?;
            }
            if step["task"].is_object() {
                self.solve(&step["task"])?;
                self.look(index, "-solved")?;
            }
            self.enter("#lesson .next:enabled")?;
            if number == 1 && step["ask"].is_object() {
                self.come_back(&step["reveal"], &format!("Step {} of", index + 2))?;
            }
            if index == 0 {
                // Who leaves comes back to where they were.
                visitor.open(&format!("?lesson={}", solution.lesson))?;
            }
        }
        let is_done = format!(
            "document.querySelector('#lesson li:nth-child({number})').innerText.includes('✓')"
        );
        visitor.session.wait_for(&is_done).context("the list says that it is done")
    }

    /// Goes on with the tabulator to where a button is, and presses it.
    fn enter(&self, selector: &str) -> Result<()> {
        self.visitor.tab_to(selector)?;
        self.visitor.press(ENTER)
    }

    /// Gives every wrong answer, then the right one; each is told what it deserves.
    fn answer(&self, ask: &Value) -> Result<()> {
        let answers = ask["answers"].as_array().context("no answers")?;
        let is_right = |answer: &Value| answer["right"] == true;
        let wrong = answers.iter().filter(|answer| !is_right(answer));
        for answer in wrong.chain(answers.iter().filter(|answer| is_right(answer))) {
            let index = answers.iter().position(|each| each == answer).unwrap_or_default();
            self.visitor.tab_to("#lesson [name=answer]")?;
            self.visitor.press(&[keys::SPACE])?;
            let chosen =
                "return Number(document.querySelector('#lesson [name=answer]:checked').value)";
            for _ in 0..answers.len() {
                if self.visitor.session.run(chosen)? == json!(index) {
                    break;
                }
                self.visitor.press(&[keys::DOWN])?;
            }
            ensure!(
                self.visitor.session.run(chosen)? == json!(index),
                "answer {index} is not chosen"
            );
            self.visitor.press(ENTER)?;
            self.is_told(answer["feedback"].as_str().context("no feedback")?)?;
            // And sees it, without scrolling.
            self.visitor.session.wait_for(IN_VIEW)?;
        }
        self.visitor.session.wait_for("!document.querySelector('#lesson .next').disabled")
    }

    /// Whoever goes back to a question that was answered finds the answer.
    fn come_back(&self, reveal: &Value, next: &str) -> Result<()> {
        let shown = "document.getElementById('lesson').innerText";
        self.visitor.session.wait_for(&format!("{shown}.includes({})", json!(next)))?;
        self.enter("#lesson form > .row button:first-child")?;
        self.is_told(reveal["say"][0].as_str().context("nothing is revealed")?)?;
        self.enter("#lesson .next:enabled")
    }

    fn solve(&self, task: &Value) -> Result<()> {
        self.act(&MISS)?;
        self.is_told(task["missed"].as_str().context("nothing is said of a try that missed")?)?;
        // Back to the run itself, from which the next branch is to leave.
        let session = self.visitor.session;
        session.run("document.querySelector('#runs [type=radio]').focus()")?;
        self.visitor.press(&[keys::SPACE])?;
        match self.solution.go {
            Go::Stay => {}
            Go::Jump(name) => {
                let name = json!(name);
                let jump = format!(
                    "[...document.querySelectorAll('#jumps button')].find((each) => each.innerText === {name}).focus()"
                );
                session.run(&jump)?;
                self.visitor.press(ENTER)?;
            }
            Go::Step(words) => {
                session.run("document.activeElement.blur()")?;
                for word in words {
                    self.step_to(word)?;
                }
            }
        }
        self.act(self.solution.deeds)?;
        self.is_told(task["done"][0].as_str().context("nothing is said of what was done")?)
    }

    fn step_to(&self, word: &str) -> Result<()> {
        let last = "return document.querySelector('#log li:last-child').innerText";
        for _ in 0..200 {
            self.visitor.press(&[keys::RIGHT])?;
            if self.visitor.session.run(last)?.as_str().is_some_and(|line| line.contains(word)) {
                return Ok(());
            }
        }
        bail!("no step leads to {word:?}")
    }

    fn act(&self, deeds: &[(&str, &[char])]) -> Result<()> {
        for (selector, pressed) in deeds {
            self.visitor.tab_to(selector)?;
            for key in *pressed {
                self.visitor.press(&[*key])?;
            }
        }
        Ok(())
    }

    fn is_told(&self, text: &str) -> Result<()> {
        let text = json!(text);
        self.visitor.session.wait_for(&format!(
            "document.querySelector('#lesson .told').innerText.includes({text})"
        ))
    }

    fn look(&self, step: usize, what: &str) -> Result<()> {
        let folder = target_folder().join("pictures/lessons");
        fs::create_dir_all(&folder)?;
        for (width, height) in SCREENS {
            self.visitor.session.resize(width, height)?;
            self.visitor.session.next_frame()?;
            let name = format!("{}-{}{what}-{width}", self.solution.lesson, step + 1);
            self.visitor.look(&folder, &name)?;
        }
        self.visitor.session.resize(1280, 720)
    }
}
