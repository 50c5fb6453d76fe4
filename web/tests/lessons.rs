//! Every lesson's moments exist in its run, its solution reaches its goal, and its own run does not.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tailswap_web::measures::{is_met, measures};
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;

fn lessons() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/lessons");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let lesson = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (path, lesson)
    };
    paths.into_iter().map(read).collect()
}

fn complete(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value[what]
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| panic!("no {what}: {value}"))
}

fn run(lesson: &Value) -> Recording {
    let run = &lesson["run"];
    let seed = text(run, "seed").parse().unwrap();
    complete(Recording::new(
        Parameters::named(seed, text(run, "device"), text(run, "rounds")).unwrap(),
    ))
}

fn branch(recording: &Recording, at: &str, difference: &str) -> Recording {
    let event = recording.find(at).unwrap_or_else(|| panic!("there is no moment {at:?}"));
    let branch = complete(recording.fork(event, Difference::named(difference).unwrap()));
    assert_eq!(branch.refused, None, "{difference:?} at {at:?}");
    branch
}

#[test]
fn every_moment_of_every_lesson_is_there() {
    for (path, lesson) in lessons() {
        let recording = run(&lesson);
        for step in lesson["steps"].as_array().unwrap() {
            let at = text(step, "at");
            assert!(recording.find(at).is_some(), "{}: {at:?}", path.display());
            let reveal = &step["reveal"];
            if !reveal.is_object() {
                continue;
            }
            let forks = reveal["forks"].as_array().map_or(&[][..], Vec::as_slice);
            let mut all: Vec<Recording> = forks
                .iter()
                .map(|difference| branch(&recording, at, difference.as_str().unwrap()))
                .collect();
            all.insert(0, run(&lesson));
            let followed = reveal["follow"].as_u64().unwrap_or(0) as usize;
            let found = all[followed].find(text(reveal, "at"));
            assert!(found.is_some(), "{}: {reveal}", path.display());
        }
    }
}

#[test]
fn every_task_is_solved_by_its_solution_and_not_before() {
    for (path, lesson) in lessons() {
        let recording = run(&lesson);
        let steps = lesson["steps"].as_array().unwrap();
        let tasks: Vec<&Value> =
            steps.iter().map(|step| &step["task"]).filter(|task| task.is_object()).collect();
        assert_eq!(tasks.len(), 1, "{}: one task", path.display());
        for task in tasks {
            let goal = text(task, "goal");
            assert_eq!(is_met(&recording, goal), Ok(false), "{}: at once", path.display());
            for solution in task["solutions"].as_array().unwrap() {
                let solved = branch(&recording, text(solution, "at"), text(solution, "fork"));
                assert_eq!(is_met(&solved, goal), Ok(true), "{}: {solution}", path.display());
            }
            // A branch in which nothing happens that matters reaches it nowhere.
            for at in ["start", "round 1", "last-tail", "swap"] {
                let idle = branch(&recording, at, "act read yours");
                assert_eq!(is_met(&idle, goal), Ok(false), "{}: idle at {at}", path.display());
            }
            for what in ["ask", "hint", "missed"] {
                text(task, what);
            }
            assert!(task["done"].as_array().is_some_and(|done| !done.is_empty()));
        }
    }
}

#[test]
fn every_answer_has_its_feedback_and_one_is_right() {
    let lessons = lessons();
    assert!(lessons.len() >= 4);
    for (path, lesson) in lessons {
        text(&lesson, "title");
        text(&lesson, "about");
        let steps = lesson["steps"].as_array().unwrap();
        let asks: Vec<&Value> =
            steps.iter().map(|step| &step["ask"]).filter(|ask| ask.is_object()).collect();
        assert!(!asks.is_empty(), "{}: nothing is asked", path.display());
        for ask in asks {
            text(ask, "question");
            let answers = ask["answers"].as_array().unwrap();
            let right = answers.iter().filter(|answer| answer["right"] == true).count();
            assert_eq!(right, 1, "{}: {ask}", path.display());
            for answer in answers {
                text(answer, "text");
                text(answer, "feedback");
            }
        }
        for step in steps {
            assert!(step["say"].as_array().is_some_and(|say| !say.is_empty()), "{step}");
            assert_eq!(step["ask"].is_object(), step["reveal"].is_object(), "{step}");
        }
    }
}

#[test]
fn numbers_that_lessons_tell_are_those_of_their_runs() {
    let mut told = 0;
    for (path, lesson) in lessons() {
        let known = measures(&run(&lesson));
        let words = lesson["steps"].to_string();
        for (begin, _) in words.match_indices('{') {
            let rest = &words[begin + 1..];
            // Else it is a brace of the file itself.
            if !rest.starts_with(|letter: char| letter.is_ascii_lowercase()) {
                continue;
            }
            let name = rest.split('}').next().unwrap();
            assert!(known.iter().any(|(known, _)| *known == name), "{}: {name}", path.display());
            told += 1;
        }
    }
    assert!(told > 5, "only {told}");
}

#[test]
fn a_goal_or_a_path_that_means_nothing_is_told() {
    let recording = complete(Recording::new(Parameters::named(1.0, "nvme", "many").unwrap()));
    for goal in ["", "rounds", "rounds >= many", "rounds > 3", "circles >= 3", "rounds >= 3 4"] {
        assert!(is_met(&recording, goal).is_err(), "{goal:?}");
    }
    assert_eq!(is_met(&recording, "rounds >= 1, swaps = 1, lock_ms < 100"), Ok(true));
    for path in ["", "nowhere", "start > nowhere", "header_committed*100000", "end > start"] {
        assert_eq!(recording.find(path), None, "{path:?}");
    }
}
