//! Finds the paths in a source file that lead through `crate`, `self`, `super` or `std`.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A source file as tokens.
pub(crate) struct Source {
    /// Path within `src`, with slashes.
    pub(crate) file: String,
    /// The module that the file is, from the root.
    pub(crate) path: Vec<String>,
    tokens: Vec<TokenTree>,
}

/// A path that a file names, resolved: from the crate's root, or beginning with `std`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// It is in code that only tests have.
    pub(crate) test: bool,
    /// It is in a `use` of the root, so that other modules can name it as theirs; the last segment
    /// is the name that it has there.
    pub(crate) reexport: bool,
}

impl Source {
    pub(crate) fn parse(file: &str, text: &str) -> Source {
        let tokens: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("{file} is not Rust: {error}"));
        let stem = file.trim_end_matches(".rs");
        let mut path: Vec<String> = stem.split('/').map(str::to_string).collect();
        path.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
        Source { file: file.to_string(), path, tokens: tokens.into_iter().collect() }
    }

    /// The top-level module that the file belongs to; none for the root.
    pub(crate) fn module(&self) -> Option<&str> {
        self.path.first().map(String::as_str)
    }

    /// Modules in files of their own that the file declares for tests only.
    pub(crate) fn test_modules(&self) -> Vec<Vec<String>> {
        let mut walk = Walk::new(self);
        walk.walk(&self.tokens, false);
        walk.test_modules
    }
}

/// All paths that a file names.
pub(crate) fn references(source: &Source) -> Vec<Found> {
    let mut walk = Walk::new(source);
    walk.walk(&source.tokens, false);
    walk.found
}

struct Walk {
    module: Vec<String>,
    found: Vec<Found>,
    test_modules: Vec<Vec<String>>,
}

impl Walk {
    fn new(source: &Source) -> Walk {
        Walk { module: source.path.clone(), found: Vec::new(), test_modules: Vec::new() }
    }

    /// Walks one level of tokens and all below it.
    fn walk(&mut self, tokens: &[TokenTree], in_test: bool) {
        // An attribute holds for the item after it, which ends with a semicolon or a block.
        let mut item_is_test = false;
        let mut at = 0;
        while at < tokens.len() {
            let test = in_test || item_is_test;
            match &tokens[at] {
                TokenTree::Punct(punct) => {
                    if [';', ','].contains(&punct.as_char()) {
                        item_is_test = false;
                    }
                    at += 1;
                }
                TokenTree::Group(group) => {
                    item_is_test |= is_hash(tokens, at) && is_test_attribute(group);
                    self.walk(&inside(group), test);
                    if group.delimiter() == Delimiter::Brace {
                        item_is_test = false;
                    }
                    at += 1;
                }
                TokenTree::Ident(ident) => match ident.to_string().as_str() {
                    "mod" => {
                        at = self.module(tokens, at, test);
                        item_is_test = false;
                    }
                    "use" if self.module.is_empty() => {
                        let tree = Tree { test, reexport: true };
                        at = self.tree(tokens, at + 1, Vec::new(), tree);
                    }
                    head @ ("crate" | "self" | "super" | "std") if is_separator(tokens, at + 1) => {
                        let tree = Tree { test, reexport: false };
                        at = self.tree(tokens, at + 3, vec![head.to_string()], tree);
                    }
                    // A new name for all of it: treated as using everything.
                    head @ ("crate" | "std") if is_ident(tokens, at + 1, "as") => {
                        let line = ident.span().start().line;
                        let path = vec![head.to_string(), "*".to_string()];
                        self.enter(path, line, Tree { test, reexport: false });
                        at += 1;
                    }
                    _ => at += 1,
                },
                TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// `mod name { … }` or `mod name;`
    fn module(&mut self, tokens: &[TokenTree], at: usize, test: bool) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1) else { return at + 1 };
        self.module.push(name.to_string());
        let after = match tokens.get(at + 2) {
            Some(TokenTree::Group(group)) => {
                self.walk(&inside(group), test);
                at + 3
            }
            _ => {
                if test {
                    self.test_modules.push(self.module.clone());
                }
                at + 2
            }
        };
        self.module.pop();
        after
    }

    /// What follows a `::` or a `use`: a name, `*`, or a group of such. Returns where it ends.
    fn tree(
        &mut self,
        tokens: &[TokenTree],
        at: usize,
        mut path: Vec<String>,
        tree: Tree,
    ) -> usize {
        let line = tokens.get(at).map_or(0, |token| token.span().start().line);
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => {
                let name = ident.to_string();
                if name != "self" || path.is_empty() {
                    path.push(name);
                }
                if is_separator(tokens, at + 1) {
                    return self.tree(tokens, at + 3, path, tree);
                }
                if let (true, Some(TokenTree::Ident(alias)), true) =
                    (is_ident(tokens, at + 1, "as"), tokens.get(at + 2), tree.reexport)
                {
                    path.pop();
                    path.push(alias.to_string());
                }
                self.enter(path, line, tree);
                at + 1
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let branches = inside(group);
                let mut next = 0;
                while next < branches.len() {
                    next = self.tree(&branches, next, path.clone(), tree);
                    let comma = branches[next..].iter().position(|token| is_punct(token, ','));
                    next = comma.map_or(branches.len(), |comma| next + comma + 1);
                }
                at + 1
            }
            Some(token) if is_punct(token, '*') => {
                path.push("*".to_string());
                self.enter(path, line, tree);
                at + 1
            }
            // A leading `::`, or the `<` of generic arguments, which the caller walks.
            _ if path.is_empty() && is_separator(tokens, at) => {
                self.tree(tokens, at + 2, path, tree)
            }
            _ => {
                self.enter(path, line, tree);
                at
            }
        }
    }

    fn enter(&mut self, path: Vec<String>, line: usize, Tree { test, reexport }: Tree) {
        let path = resolve(&self.module, path);
        self.found.push(Found { path, line, test, reexport });
    }
}

/// What holds for all leaves of a tree of paths.
#[derive(Clone, Copy)]
struct Tree {
    test: bool,
    reexport: bool,
}

/// From the root of the crate, or beginning with `std`.
fn resolve(module: &[String], path: Vec<String>) -> Vec<String> {
    let mut base = match path.first().map(String::as_str) {
        Some("self" | "super") => module.to_vec(),
        _ => Vec::new(),
    };
    let mut rest = path.into_iter().peekable();
    rest.next_if(|head| head == "crate" || head == "self");
    while rest.next_if(|segment| segment == "super").is_some() {
        base.pop();
    }
    base.extend(rest);
    base
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_ident(tokens: &[TokenTree], at: usize, name: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if ident == name)
}

/// A `::` at this place.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| tokens.get(at).is_some_and(|token| is_punct(token, ':'));
    colon(at) && colon(at + 1)
}

/// The `#` of an attribute before this place.
fn is_hash(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && is_punct(&tokens[at - 1], '#')
}

/// `[test]`, `[cfg(test)]` or `[cfg(all(test, …))]`.
fn is_test_attribute(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}
