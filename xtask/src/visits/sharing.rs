//! Handing on what is shown, and opening what was handed on.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Visitor;
use crate::command::{cargo, root};
use crate::tools::target_folder;
use crate::webdriver::keys;

/// Runs random branches by hand and by their addresses; calls back with what differs, and with the
/// length of the address of a branch of 200 steps.
const ROUND_TRIPS: &str = r#"
    const done = arguments[0];
    (async () => {
      const { Branch, readAddress, writeAddress } = await import("./main.js");
      const differences = ["rounds", "sata", "power-nothing", "power-some", "failed-sync", "disk-full",
        "burst", "hot", "rollback", "act begin compact", "act queue a=1 b=@20:3 -c"];
      let seed = 1;
      const choose = (most) => (seed = (seed * 48271) % 2147483647) % most;
      const wrong = [];
      for (let round = 0; round < 10; round += 1) {
        const told = { seed: round, device: ["nvme", "sata", "network", "disk"][round % 4], rounds: "many",
          value: 100, actions: 600 + choose(600), compare: "", zoom: "compaction", scenario: "" };
        const branches = [Branch.of(told, "")];
        await branches[0].record();
        for (let count = 1 + choose(3); count > 0; count -= 1) {
          const from = branches[choose(branches.length)];
          const branch = from.fork(choose(from.end), differences[choose(differences.length)], "");
          await branch.record();
          branches.push(branch);
        }
        const lead = branches.at(-1);
        const event = choose(lead.end);
        const address = await writeAddress(told, { branches, lead, event, nowNs: 0, zoom: "run" });
        const read = await readAddress(new URL(address, location));
        const again = [Branch.of(read, "")];
        for (const { parent, steps } of read.forks) again.push(again[parent].forkAfter(steps, ""));
        await again[read.follow].record();
        const hashes = [lead.sim.stateHashAt(event), again[read.follow].sim.stateHashAt(Number(read.event))];
        const ends = [lead.sim.traceHash().slice(0, 6), read.trace];
        if (hashes[0] !== hashes[1] || ends[0] !== ends[1]) wrong.push([address, hashes, ends]);
        for (const branch of [...again, ...branches]) branch.remove();
      }
      const steps = Array.from({ length: 200 }, (_, at) => ({ after: at * 97 + choose(97), difference: differences[choose(11)] }));
      const lead = { steps, isShown: true, sim: { timeOf: () => 0, traceHash: () => "0123456789abcdef" } };
      const root = { steps: [], isShown: true };
      lead.parent = root;
      const address = await writeAddress({}, { branches: [root, lead], lead, event: 12345, nowNs: 0, zoom: "run" });
      const read = await readAddress(new URL(address, location));
      if (JSON.stringify(read.forks[0].steps) !== JSON.stringify(steps)) wrong.push("200 steps are not read back");
      done([wrong, address.length]);
    })().catch((error) => done([String(error.stack), 0]));
"#;

/// Links that do not hold together, and what is said of each.
const LACKING: [(&str, &str); 18] = [
    ("?fork=0_99999999_burst", "after 99999999 actions, and that has fewer"),
    ("?fork=7_3_rounds", "leaves run 7, which there is not"),
    ("?fork=rain", "\"rain\" is nothing that a branch can do"),
    ("?fork=0_100_nonsense", "its branch “nonsense”: \"nonsense\" is nothing that a branch can do"),
    ("?fork=0_100_act dance", "its branch “act dance”"),
    ("?fork=0_3_burst&then=nowhere", "\"nowhere\" is nothing that a branch can do"),
    ("?follow=7", "follows run 7, which there is not"),
    ("?hide=5", "hides run 5, which there is not"),
    ("?seed=abc", "its seed is “abc”, which is no number"),
    ("?seed=1.5", "a seed is a whole number"),
    (
        "?device=tape&zoom=none",
        "its zoom is “none”, and not compaction or now or run; its device: \"tape\"",
    ),
    ("?compare=weather", "its compare is “weather”, and not rounds or device"),
    ("?event=99999999", "it shows event 99999999, and the last one is"),
    ("?event=soon", "this run has no moment “soon”"),
    ("?at=nowhere&seed=2", "this run has no moment “nowhere”"),
    ("?lesson=9-none", "there is no lesson “9-none”"),
    ("#z=abc", "some of its characters are missing"),
    ("?scenario=dance", "its scenario: line 1"),
];

/// What is downloaded from now on, as text.
const KEEP_DOWNLOADS: &str = "
    window.downloads = [];
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => { window.downloads.push(blob); return make(blob); };
    HTMLAnchorElement.prototype.click = () => {};";

impl Visitor<'_> {
    pub(super) fn links_lead_to_the_same_state(&self) -> Result<()> {
        self.open("?actions=200")?;
        let found = self.session.run_until_done(ROUND_TRIPS)?;
        ensure!(found[0] == json!([]), "links that lead elsewhere: {}", found[0]);
        let length = found[1].as_u64().context("no length")?;
        println!("the address of a branch of 200 steps: {length} characters");
        ensure!(length <= 2000, "an address of 200 steps has {length} characters");
        Ok(())
    }

    pub(super) fn shares_and_reopens(&self) -> Result<()> {
        self.open("?seed=3&at=swap")?;
        self.loses_power()?;
        self.session.wait_for("document.querySelectorAll('#runs [type=radio]')[1].checked")?;
        self.session.run("document.activeElement.blur()")?;
        self.press(&[keys::RIGHT])?;
        // The address follows; so a reload comes back to the same.
        self.session.wait_for("location.search.includes('follow=1')")?;
        let shown = "return ['story', 'runs', 'branches'].map((part) => \
            document.getElementById(part).innerText).join()";
        let before = self.session.run(shown)?;
        self.tab_to("#share summary")?;
        self.press(&[keys::ENTER])?;
        let link = "document.querySelector('#share [name=link]').value";
        self.session.wait_for(&format!("{link}.includes('fork=0_')"))?;
        self.session.wait_for(
            "/Copied|selected/.test(document.querySelector('#share [role=status]').textContent)",
        )?;
        let link = self.session.run(&format!("return {link}.slice({})", self.address.len()))?;
        self.open("?seed=4")?;
        self.open(link.as_str().context("no link")?)?;
        let after = self.session.run(shown)?;
        ensure!(before == after, "shared: {before}\nreopened: {after}");
        self.session.wait_for("document.getElementById('notice').hidden")?;
        self.open("?v=1.000000")?;
        self.expect("ready", &["another version of the engine"])
    }

    /// What of a link cannot be is said, and the rest of it is shown.
    pub(super) fn says_what_a_link_lacks(&self) -> Result<()> {
        for (query, words) in LACKING {
            self.open(query)?;
            self.expect("ready", &["This link does not hold together", words, "lock held for"])
                .with_context(|| format!("at {query}"))?;
            // The page can be used as if nobody had asked for that.
            self.press(&[keys::HOME])?;
            ensure!(self.event()? == 0, "{query} leaves a page that does nothing");
            let nothing = "return /NaN|undefined/.test(document.body.innerText)";
            ensure!(self.session.run(nothing)? == json!(false), "{query} shows what is no number");
        }
        // Of a scenario in which nothing is compacted a lesson has nothing to show.
        self.open("?lesson=4-swap&scenario=create")?;
        self.expect("ready", &["its lesson is of another run"])?;
        // Runs keep the numbers that the link gives them.
        self.open("?fork=0_99999999_burst&fork=0_3000_burst&fork=2_3500_hot&follow=3")?;
        self.expect("ready", &["a burst of 300 documents", "300 changes of one document"])?;
        self.session.wait_for("document.querySelectorAll('#runs [type=radio]')[2].checked")
    }

    /// What is saved as a scenario is played by the command, and by the page, to the same state.
    pub(super) fn hands_on_scenarios(&self) -> Result<()> {
        self.open("?seed=2&at=round 2&fork=failed-sync")?;
        self.session.run(KEEP_DOWNLOADS)?;
        self.tab_to("#share summary")?;
        self.press(&[keys::ENTER])?;
        self.tab_to("#share [name=scenario]")?;
        self.press(&[keys::ENTER])?;
        self.tab_to("#share [name=picture]")?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for("window.downloads.length === 2")?;
        let saved = self.session.run_until_done(
            "const done = arguments[0]; Promise.all([downloads[0].text(), downloads[1].type]).then(done)",
        )?;
        ensure!(saved[1] == "image/png", "the picture is {}", saved[1]);
        let text = saved[0].as_str().context("no scenario")?;
        let folder = target_folder().join("visits");
        fs::create_dir_all(&folder)?;
        let path = folder.join("saved.scenario");
        fs::write(&path, text)?;
        let path = path.to_string_lossy();
        let played = tailswap(&["sim", "--replay", &path, "--json"])?;
        let last = played.lines().last().context("the command printed nothing")?;
        let last: Value = serde_json::from_str(last)?;
        self.open_file("saved.scenario", text.as_bytes())?;
        self.expect("ready", &["Run: a scenario"])?;
        let script = "const done = arguments[0]; \
            import('./main.js').then(async ({ Sim, readAddress }) => { \
            const sim = Sim.ofScenario((await readAddress(location)).scenario); \
            while (sim.advance(1000)); done(sim.stateHashAt(sim.eventCount)); })";
        let hash = self.session.run_until_done(script)?;
        ensure!(hash == last["state_hash"], "the page: {hash}, the command: {last}");
        self.open_file("broken.scenario", b"create\ndance\n")?;
        self.expect("ready", &["broken.scenario: line 2", "dance", "Run: a scenario"])
    }

    /// What happened on real files and threads is played.
    pub(super) fn plays_a_trace(&self) -> Result<()> {
        let folder = target_folder().join("visits").join("traced");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (data, trace) = (folder.join("data"), folder.join("run.trace"));
        let (data, path) = (data.to_string_lossy(), trace.to_string_lossy());
        let workload = "documents=400,mutations=80000";
        let size = ["--min-size", "256KiB", "--queue-bytes", "128KiB", "--vbuckets", "2"];
        let run = ["run", &data, "--workload", workload, "--trace", &path];
        tailswap(&[&run[..], &size].concat())?;
        let printed = tailswap(&["trace", &path])?;
        let bytes = fs::read(&trace)?;
        self.open("?seed=2")?;
        self.open_file("run.trace", &bytes)?;
        self.expect("ready", &["Trace: run.trace", ".couch.1.compact", "Compaction begins"])?;
        self.chooses_in_haste()?;
        let printed = self.chooses_in_a_trace(&printed)?;
        self.session.run("document.activeElement.blur()")?;
        let start = self.event()?;
        self.press(&[keys::SHIFT, keys::RIGHT])?;
        self.expect("ready", &["Copying what was live"])?;
        self.press(&[keys::LEFT])?;
        ensure!(self.event()? >= start, "back from the first phase lies its beginning");
        self.press(&[keys::END])?;
        ensure!(self.event()? == printed - 1, "the end");
        self.press(&['i'])?;
        self.expect("ready", &["there is nothing to look into"])?;
        self.open_file("cut.trace", bytes.get(..bytes.len() - 1).unwrap_or_default())?;
        self.expect("ready", &["Trace: cut.trace", "ends within an event, at offset"])?;
        let damaged = [bytes.get(..bytes.len() / 2).unwrap_or_default(), &[0; 64]].concat();
        self.open_file("damaged.trace", &damaged)?;
        self.expect("ready", &["Trace: damaged.trace", "damaged at offset"])?;
        self.open_file("other.trace", b"tailswap trace 9\n")?;
        self.expect("ready", &["another version", "Trace: damaged.trace"])
    }

    /// Each of two vbuckets of a trace can be shown, and each compaction of them. How many events the last
    /// one has that was shown.
    fn chooses_in_a_trace(&self, printed: &str) -> Result<i64> {
        let last = "return Number(document.getElementById('scrubber').max)";
        let mut shown = Vec::new();
        for vbucket in ['0', '1'] {
            self.tab_to("#of-vbucket select")?;
            self.press(&[vbucket])?;
            self.expect("ready", &[&format!("this is vbucket {vbucket}"), ".compact"])?;
            self.session.wait_for("document.body.dataset.run === 'complete'")?;
            shown.push(self.session.run(last)?.as_i64().context("no last event")? + 1);
            let begun = format!("\"event\":\"compaction_started\",\"vbucket\":{vbucket}");
            let compactions = printed.matches(&begun).count();
            ensure!(compactions > 5, "only {compactions} compactions of vbucket {vbucket}");
            self.expect("ready", &[&format!("of {compactions}")])?;
            self.tab_to("#of-compaction input")?;
            let before = self.event()?;
            self.press(&[keys::UP])?;
            self.session
                .wait_for("document.querySelector('#of-compaction input').value === '2'")?;
            ensure!(self.event()? > before, "the second compaction is where the first was");
        }
        let of_both = shown.iter().sum::<i64>() - printed.lines().count() as i64;
        ensure!((0..shown[1] / 4).contains(&of_both), "{shown:?} events, {of_both} of both");
        Ok(shown[1])
    }

    /// Chooses a file, and waits until it is shown, or the page says why not.
    pub(super) fn open_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let text = data_encoding::BASE64.encode(bytes);
        self.session.run(&format!(
            "document.body.dataset.run = 'opening'; \
             const bytes = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); \
             const chosen = new DataTransfer(), input = document.getElementById('choose'); \
             chosen.items.add(new File([bytes], {})); input.files = chosen.files; \
             input.dispatchEvent(new Event('change'))",
            json!(name)
        ))?;
        self.session.wait_for(
            "document.getElementById('said').textContent || document.body.dataset.run === 'complete'",
        )
    }
}

/// What the command prints, built if it has to be.
pub(crate) fn tailswap(arguments: &[&str]) -> Result<String> {
    let mut command: Command = cargo(&["run", "--quiet", "--package", "tailswap-cli", "--"]);
    let output = command.args(arguments).current_dir(root()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tailswap {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}
