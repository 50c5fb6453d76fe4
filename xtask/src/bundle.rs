//! The page's modules, joined into one script: together they compress better, and a browser asks once.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// The module that begins the others: nobody imports it, and its own names stay where they are.
const FIRST: &str = "main.js";

/// What is exported where it is declared, one name at a time.
const DECLARED: [&str; 5] = ["const", "let", "class", "function", "function*"];

/// Joins the modules that the first one needs, each behind those that it needs itself. Each becomes a
/// function that returns what it exports, so that the names of one do not meet those of another.
pub(crate) fn join(modules: &BTreeMap<String, String>) -> Result<String> {
    let begun = vec![FIRST.to_owned()];
    let mut joined = Joined { modules, begun, done: Vec::new(), script: String::new() };
    let body = joined.with_imports(FIRST)?;
    ensure!(joined.done.len() + 1 == modules.len(), "nobody imports some of {:?}", modules.keys());
    Ok(joined.script + &body)
}

struct Joined<'a> {
    modules: &'a BTreeMap<String, String>,
    /// Those that wait for what they import, each for the next one.
    begun: Vec<String>,
    done: Vec<String>,
    script: String,
}

impl Joined<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        if self.done.iter().any(|done| done == name) {
            return Ok(());
        }
        let is_begun = self.begun.iter().any(|begun| begun == name);
        self.begun.push(name.to_owned());
        ensure!(!is_begun, "{name} imports itself: {}", self.begun.join(" imports "));
        let body = self.with_imports(name)?;
        let (body, exports) = without_exports(&body).with_context(|| name.to_owned())?;
        self.begun.pop();
        self.done.push(name.to_owned());
        let variable = variable(name);
        self.script +=
            &format!("const {variable} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n");
        Ok(())
    }

    /// A module's text, with what it imports taken from those that were added before it.
    fn with_imports(&mut self, name: &str) -> Result<String> {
        let text = self.modules.get(name).with_context(|| format!("there is no {name}"))?;
        let mut body = String::new();
        for line in text.lines() {
            let Some(import) = line.strip_prefix("import ") else {
                body += line;
                body.push('\n');
                continue;
            };
            let wrong = || format!("{name}: cannot join {line:?}");
            let (names, from) = import.split_once(" from \"./").with_context(wrong)?;
            let from = from.strip_suffix("\";").with_context(wrong)?;
            self.add(from)?;
            // A default, names in braces, or both.
            let (default, others) = names.split_once('{').unwrap_or((names, "}"));
            let default = default.trim_end_matches([',', ' ']);
            let others = others.strip_suffix('}').with_context(wrong)?.trim().replace(" as ", ": ");
            let default = (!default.is_empty()).then(|| format!("default: {default}"));
            let taken = default.into_iter().chain(Some(others)).collect::<Vec<_>>().join(", ");
            body += &format!("const {{ {taken} }} = {};\n", variable(from));
        }
        Ok(body)
    }
}

/// A module's text without the word that exports, and what it exported, as members of an object.
fn without_exports(text: &str) -> Result<(String, String)> {
    let (mut body, mut exports) = (String::new(), Vec::new());
    for line in text.lines() {
        let Some(export) = line.strip_prefix("export ") else {
            body += line;
            body.push('\n');
            continue;
        };
        if let Some(value) = export.strip_prefix("default ") {
            body += &format!("const exported = {value}\n");
            exports.push("default: exported".to_owned());
            continue;
        }
        if let Some(names) = export.strip_prefix('{') {
            let names = names.strip_suffix("};").context("an export that goes on")?;
            let pairs =
                names.split(',').map(|each| each.split_once(" as ").unwrap_or((each, each)));
            exports.extend(pairs.map(|(own, other)| format!("{}: {}", other.trim(), own.trim())));
            continue;
        }
        let declared = export.strip_prefix("async ").unwrap_or(export);
        let mut words = declared.split([' ', '(', '=', ';']).filter(|word| !word.is_empty());
        let is_declared = words.next().is_some_and(|kind| DECLARED.contains(&kind));
        let is_name = |name: &&str| !name.contains(|c: char| !c.is_alphanumeric() && c != '_');
        let name = words.next().filter(|name| is_declared && is_name(name));
        exports.push(name.with_context(|| format!("cannot join {line:?}"))?.to_owned());
        body += export;
        body.push('\n');
    }
    Ok((body, exports.join(", ")))
}

/// Where the exports of a module are.
fn variable(name: &str) -> String {
    format!("of_{}", name.trim_end_matches(".js").replace('-', "_"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn modules(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
        texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn modules_stand_behind_what_they_need_and_once_only() {
        let joined = join(&modules(&[
            ("main.js", "import start, { a as b } from \"./one-more.js\";\nimport { c } from \"./two.js\";\nstart(b, c);"),
            ("one-more.js", "import { c } from \"./two.js\";\nconst own = 1;\nexport { own as default, c as a };"),
            ("two.js", "export async function c() {}\nexport const d = 2;"),
        ]))
        .unwrap();
        let two = joined.find("const of_two = ").unwrap();
        let one = joined.find("const of_one_more = ").unwrap();
        assert!(two < one, "{joined}");
        assert_eq!(joined.matches("const of_two").count(), 1);
        assert!(joined.contains("return { c, d };"), "{joined}");
        assert!(joined.contains("return { default: own, a: c };"), "{joined}");
        assert!(joined.ends_with("const { default: start, a: b } = of_one_more;\nconst { c } = of_two;\nstart(b, c);\n"), "{joined}");
    }

    #[test]
    fn what_cannot_be_joined_is_an_error() {
        for text in [
            "import \"./two.js\";",
            "import { a } from \"./three.js\";",
            "import { a } from './two.js';",
            "",
        ] {
            assert!(join(&modules(&[("main.js", text), ("two.js", "")])).is_err(), "{text}");
        }
        for export in [
            "export const { a, b } = both;",
            "export const [a, b] = both;",
            "export let { a } = one;",
            "export * from \"./main.js\";",
            "export {",
        ] {
            let main = "import { a } from \"./two.js\";";
            let error = join(&modules(&[("main.js", main), ("two.js", export)])).unwrap_err();
            assert!(format!("{error:#}").starts_with("two.js: "), "{export}: {error:#}");
        }
    }

    #[test]
    fn modules_that_need_each_other_are_named() {
        for (last, told) in [
            (
                "two.js",
                "two.js imports itself: main.js imports one.js imports two.js imports two.js",
            ),
            (
                "one.js",
                "one.js imports itself: main.js imports one.js imports two.js imports one.js",
            ),
            (
                "main.js",
                "main.js imports itself: main.js imports one.js imports two.js imports main.js",
            ),
        ] {
            let last = format!("import {{ a }} from \"./{last}\";\nexport const b = 1;");
            let error = join(&modules(&[
                ("main.js", "import { a } from \"./one.js\";"),
                ("one.js", "import { b } from \"./two.js\";\nexport const a = b;"),
                ("two.js", &last),
            ]))
            .unwrap_err();
            assert_eq!(error.to_string(), told);
        }
    }
}
