//! Who did what when, one lane each, and who had the lock.

use super::palette::doing_hatch;
use super::{Align, Area, LABEL, Pen, Window, tenths};
use crate::timeline::{Doing, Lane, Span};

/// Pixels of a lane, and of what is drawn in it.
const LANE: f64 = 17.0;
const BAR: f64 = 14.0;
/// Pixels that the label of a time needs.
const LABEL_ROOM: f64 = 70.0;
/// Pixels of the time axis below.
const AXIS: f64 = 14.0;

/// Pixels that the lanes of a run take.
pub(crate) fn height(spans: &[Span]) -> f64 {
    let rows = Lane::ALL.iter().map(|(lane, _)| rows(spans, *lane)).sum::<usize>();
    rows as f64 * LANE + AXIS
}

fn rows(spans: &[Span], lane: Lane) -> usize {
    let of_it = spans.iter().filter(|span| span.lane == lane);
    of_it.map(|span| span.row + 1).max().unwrap_or(1)
}

/// Draws the lanes.
pub(crate) fn draw(pen: &Pen<'_>, spans: &[Span], window: &Window) {
    let mut top = 0.0;
    for (lane, name) in Lane::ALL {
        let rows = rows(spans, lane) as f64;
        let height = rows * LANE;
        let (left, right) = (window.left, window.left + window.width);
        let is_lock = lane == Lane::Lock;
        if is_lock {
            let all = Area { x: 0.0, y: top, width: right, height: height - 1.0 };
            pen.fill(&[all], pen.theme.grid);
        }
        pen.line(&[(0.0, top + height - 0.5), (right, top + height - 0.5)], pen.theme.grid, 1.0);
        let colour = if is_lock { pen.theme.text } else { pen.theme.muted };
        pen.text(name, (left - 6.0, top + LANE / 2.0), LABEL, colour, Align::Right);
        for span in spans.iter().filter(|span| span.lane == lane) {
            if window.shows(span.from_ns, span.to_ns) {
                draw_span(pen, span, window, top + span.row as f64 * LANE + 1.0);
            }
        }
        top += height;
    }
    for span in spans.iter().filter(|span| span.doing == Doing::Recovering) {
        if window.shows(span.from_ns, span.to_ns) {
            let x = window.x(span.from_ns);
            pen.line(&[(x, 0.0), (x, top)], pen.theme.danger, 2.0);
            pen.text(&span.label, (x + 4.0, top - 9.0), LABEL, pen.theme.danger, Align::Left);
        }
    }
    draw_axis(pen, window, top);
}

fn draw_span(pen: &Pen<'_>, span: &Span, window: &Window, y: f64) {
    let (x, end) = (window.x(span.from_ns), window.x(span.to_ns));
    let colour = pen.theme.doing(span.doing);
    // A writer comes and goes at one moment; one that is turned away reaches half as far down.
    let tick = match span.doing {
        Doing::Queueing => Some(BAR - 2.0),
        Doing::TurnedAway => Some(BAR / 2.0 - 1.0),
        _ => None,
    };
    if let Some(height) = tick {
        pen.fill(&[Area { x, y: y + 1.0, width: 1.5, height }], colour);
        return;
    }
    let area = Area { x, y, width: (end - x).max(1.0), height: BAR };
    pen.fill(&[area], colour);
    pen.hatch(&[area], doing_hatch(span.doing), pen.theme.ground);
    if area.width > 1.5 {
        pen.line(&[(end, y), (end, y + BAR)], pen.theme.ground, 1.0);
    }
    let room = span.label.chars().count() as f64 * 6.0 + 6.0;
    if area.width > room {
        let middle = (x + area.width / 2.0, y + BAR / 2.0 + 0.5);
        let patch = Area { x: middle.0 - room / 2.0, y: y + 1.5, width: room, height: BAR - 3.0 };
        pen.fill(&[patch], colour);
        pen.text(&span.label, middle, LABEL, pen.theme.ink, Align::Center);
    }
}

/// Times at round distances.
fn draw_axis(pen: &Pen<'_>, window: &Window, top: f64) {
    let across = window.to_ns - window.from_ns;
    // 100 µs, 200 µs, 500 µs, 1 ms and so on: the first that leaves room for the labels.
    let steps = std::iter::successors(Some(100_000.0), |step| Some(step * 10.0));
    let mut steps = steps.flat_map(|step| [step, step * 2.0, step * 5.0]);
    let step = steps.find(|step| across / step * LABEL_ROOM <= window.width).unwrap_or(across);
    let mut at = (window.from_ns / step).ceil() * step;
    while at <= window.to_ns {
        let x = window.x(at as u64);
        pen.line(&[(x, 0.0), (x, top + 3.0)], pen.theme.grid, 1.0);
        let label = format!("{} ms", tenths(at / 1e6));
        let at_edge = x > window.left + window.width - 20.0;
        let align = if at_edge { Align::Right } else { Align::Center };
        pen.text(&label, (x, top + AXIS / 2.0 + 1.0), LABEL - 1, pen.theme.muted, align);
        at += step;
    }
}
