//! Numbers over the same time as the lanes.

use super::palette::Hatch;
use super::{Align, Area, LABEL, Pen, Window, tenths};
use crate::file_history::Class;
use crate::history::History;
use crate::moment::Moment;
use crate::timeline::{Doing, Lane, Span};

/// Pixels between two charts.
const GAP: f64 = 5.0;
/// Pixels within which values are one column.
const COLUMN: f64 = 0.5;
/// How many charts there are.
const CHARTS: f64 = 5.0;

/// A chart's place and scale.
struct Frame {
    top: f64,
    bottom: f64,
    max: f64,
}

impl Frame {
    fn y(&self, value: f64) -> f64 {
        let part = (value / self.max.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        self.bottom - part * (self.bottom - self.top - 3.0)
    }
}

/// Draws the charts; `whole` is the moment at the run's end, which has all rounds.
pub(crate) fn draw(
    pen: &Pen<'_>,
    history: &History,
    spans: &[Span],
    whole: &Moment,
    window: &Window,
    height: f64,
) {
    let place = |place: u32| {
        let top = f64::from(place) * height / CHARTS;
        (top, top + height / CHARTS - GAP)
    };
    let files = history.files.all();
    let end = history.events().len();
    let longest = files.iter().map(|file| file.longest).max().unwrap_or(0) as f64;
    let sizes = begin(pen, window, place(0), "file sizes", longest, &bytes(longest));
    for (index, file) in files.iter().enumerate() {
        let created = history.time_of(file.created());
        let gone = (file.removed < end).then(|| history.time_of(file.removed));
        let mut points = vec![(created, 0.0)];
        points.extend(file.growth().map(|(event, end)| (history.time_of(event), end as f64)));
        points.push((gone.unwrap_or(history.end_ns()), file.length(end) as f64));
        let class = if index == 0 { Class::BySeqNode } else { Class::ByIdNode };
        steps(pen, window, &sizes, &points, pen.theme.class(class), 2.0);
    }
    let parts = begin(pen, window, place(1), "not in use", 100.0, "100 %");
    steps(pen, window, &parts, &fragmentation(history), pen.theme.danger, 1.5);
    let deepest = history.samples.iter().map(|sample| sample.queued).max().unwrap_or(0);
    let queue = begin(pen, window, place(2), "queue", deepest as f64, &deepest.to_string());
    let points: Vec<(u64, f64)> =
        history.samples.iter().map(|sample| (sample.at_ns, sample.queued as f64)).collect();
    steps(pen, window, &queue, &points, pen.theme.doing(Doing::Flushing), 1.5);
    draw_rounds(pen, window, place(3), whole);
    draw_stalls(pen, window, place(4), spans);
}

fn begin(
    pen: &Pen<'_>,
    window: &Window,
    (top, bottom): (f64, f64),
    name: &str,
    max: f64,
    shown: &str,
) -> Frame {
    let (left, right) = (window.left, window.left + window.width);
    pen.line(&[(left, bottom), (right, bottom)], pen.theme.grid, 1.0);
    let third = (bottom - top) / 3.0;
    let muted = pen.theme.muted;
    pen.text(name, (left - 6.0, top + third - 1.0), LABEL, muted, Align::Right);
    let most = format!("≤ {shown}");
    pen.text(&most, (left - 6.0, bottom - third + 2.0), LABEL - 1, muted, Align::Right);
    Frame { top, bottom, max }
}

/// Values that fall on the same pixels: of a long trace there are thousands, and a browser would draw
/// them all.
struct Column {
    x: f64,
    low: f64,
    high: f64,
    last: f64,
}

impl Column {
    fn begin(x: f64, y: f64) -> Self {
        Column { x, low: y, high: y, last: y }
    }

    fn take_in(&mut self, y: f64) {
        (self.low, self.high, self.last) = (self.low.min(y), self.high.max(y), y);
    }

    fn draw(&self, line: &mut Vec<(f64, f64)>) {
        line.push((self.x, self.low));
        if self.low < self.high {
            line.extend([(self.x, self.high), (self.x, self.last)]);
        }
    }
}

fn steps(
    pen: &Pen<'_>,
    window: &Window,
    frame: &Frame,
    points: &[(u64, f64)],
    colour: &str,
    width: f64,
) {
    // What came before the window is where the line begins.
    let first =
        points.partition_point(|(at_ns, _)| (*at_ns as f64) < window.from_ns).saturating_sub(1);
    let mut line: Vec<(f64, f64)> = Vec::new();
    let mut column: Option<Column> = None;
    for (at_ns, value) in points.iter().skip(first) {
        let (x, y) = (window.x(*at_ns), frame.y(*value));
        match &mut column {
            Some(column) if x - column.x < COLUMN => column.take_in(y),
            before => {
                if let Some(before) = before.replace(Column::begin(x, y)) {
                    before.draw(&mut line);
                    line.push((x, before.last));
                }
            }
        }
        if *at_ns as f64 > window.to_ns {
            break;
        }
    }
    if let Some(column) = column {
        column.draw(&mut line);
    }
    pen.line(&line, colour, width);
}

/// Percent of the file in charge that are not in use, over time.
fn fragmentation(history: &History) -> Vec<(u64, f64)> {
    let mut points = Vec::new();
    for (place, (from, file)) in history.in_charge.iter().enumerate() {
        let next = history.in_charge.get(place + 1);
        let end = next.map_or(history.events().len(), |(until, _)| *until);
        let Some(file) = history.files.all().get(*file) else { continue };
        let before = file.headers(*from).last().map(|header| (*from, header.fragmentation));
        let later = file.headers(end).iter().filter(|header| header.event > *from);
        let later = later.map(|header| (header.event, header.fragmentation));
        for (event, fragmentation) in before.into_iter().chain(later) {
            let known = fragmentation.map(|part| (history.time_of(event), part * 100.0));
            points.extend(known);
        }
    }
    points
}

/// For each round the tail that it found, against what was added while it copied that.
fn draw_rounds(pen: &Pen<'_>, window: &Window, place: (f64, f64), whole: &Moment) {
    let most = whole.rounds.iter().map(|round| round.tail.max(round.added)).max().unwrap_or(0);
    let frame = begin(pen, window, place, "tail a round", most as f64, &bytes(most as f64));
    for round in &whole.rounds {
        let to_ns = round.to_ns.unwrap_or(round.from_ns);
        if !window.shows(round.from_ns, to_ns) {
            continue;
        }
        let (x, end) = (window.x(round.from_ns), window.x(to_ns));
        let width = ((end - x) / 2.0 - 1.0).clamp(2.0, 26.0);
        let bar = |x: f64, value: u64| {
            let y = frame.y(value as f64);
            Area { x, y, width, height: frame.bottom - y }
        };
        let (copied, added) = (bar(x, round.tail), bar(x + width + 1.0, round.added));
        pen.fill(&[copied], pen.theme.doing(Doing::CatchingUp));
        pen.fill(&[added], pen.theme.doing(Doing::Flushing));
        pen.hatch(&[added], Hatch::Rising, pen.theme.ground);
    }
}

/// How long the flusher waited for the lock each time.
fn draw_stalls(pen: &Pen<'_>, window: &Window, place: (f64, f64), spans: &[Span]) {
    let is_stall = |span: &&Span| span.lane == Lane::Flusher && span.doing == Doing::Waiting;
    let long = |span: &Span| span.to_ns - span.from_ns;
    let longest = spans.iter().filter(is_stall).map(long).max().unwrap_or(0);
    let shown = format!("{} ms", tenths(longest as f64 / 1e6));
    let frame = begin(pen, window, place, "flusher waits", longest as f64, &shown);
    for span in spans.iter().filter(is_stall) {
        if window.shows(span.from_ns, span.to_ns) {
            let (x, y) = (window.x(span.from_ns), frame.y(long(span) as f64));
            let width = (window.x(span.to_ns) - x).max(2.0);
            let area = Area { x, y, width, height: frame.bottom - y };
            pen.fill(&[area], pen.theme.danger);
            pen.hatch(&[area], Hatch::Crossed, pen.theme.ground);
        }
    }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1_048_576.0 => format!("{} MiB", tenths(bytes / 1_048_576.0)),
        bytes => format!("{} KiB", (bytes / 1024.0).round() as u64),
    }
}
