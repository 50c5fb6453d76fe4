//! Pictures of a run, drawn on canvases: ribbons of blocks, lanes and charts over time.

pub(crate) mod charts;
pub(crate) mod lanes;
pub(crate) mod palette;
mod recovered;
pub(crate) mod ribbon;

use self::palette::{Hatch, Theme};
use crate::canvas::Canvas;

/// Pixels between two lines of a hatching.
const HATCH_STEP: f64 = 4.0;
/// Letters of labels, in pixels.
pub(crate) const LABEL: u32 = 11;

/// Draws on one canvas in one theme.
#[derive(Clone, Copy)]
pub(crate) struct Pen<'a> {
    pub(crate) context: &'a Canvas,
    pub(crate) theme: &'static Theme,
}

/// A rectangle, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Where a text stands, seen from its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

impl Pen<'_> {
    /// A canvas that shows what lies below it.
    pub(crate) fn wipe(&self, width: f64, height: f64) {
        self.context.clear_rect(0.0, 0.0, width, height);
    }

    /// A canvas with nothing on it.
    pub(crate) fn clear(&self, width: f64, height: f64) {
        self.alpha(1.0);
        self.fill(&[Area { x: 0.0, y: 0.0, width, height }], self.theme.ground);
    }

    pub(crate) fn alpha(&self, alpha: f64) {
        self.context.set_global_alpha(alpha);
    }

    /// Fills areas of one colour: to set a colour is what costs.
    pub(crate) fn fill(&self, areas: &[Area], colour: &str) {
        if areas.is_empty() {
            return;
        }
        self.context.set_fill_style(colour);
        // One by one: how a browser smooths an edge in a path depends on what else is in the path.
        for area in areas {
            self.context.fill_rect(area.x, area.y, area.width, area.height);
        }
    }

    /// Draws lines across areas.
    pub(crate) fn hatch(&self, areas: &[Area], hatch: Hatch, colour: &str) {
        if areas.is_empty() || hatch == Hatch::None {
            return;
        }
        self.begin_lines(colour, 1.0);
        for area in areas {
            match hatch {
                Hatch::None => {}
                Hatch::Rising => self.diagonals(*area, true),
                Hatch::Falling => self.diagonals(*area, false),
                Hatch::Crossed => {
                    self.diagonals(*area, true);
                    self.diagonals(*area, false);
                }
                Hatch::Horizontal => {
                    let (left, right) = (area.x, area.x + area.width);
                    for y in steps(area.y + HATCH_STEP / 2.0, area.y + area.height) {
                        self.segment(left, y, right, y);
                    }
                }
                Hatch::Vertical => {
                    let (top, bottom) = (area.y, area.y + area.height);
                    for x in steps(area.x + HATCH_STEP / 2.0, area.x + area.width) {
                        self.segment(x, top, x, bottom);
                    }
                }
            }
        }
        self.context.stroke();
    }

    fn diagonals(&self, area: Area, rising: bool) {
        // On a common grid, so that the lines of neighbouring areas meet.
        let first = -area.height - (area.x % HATCH_STEP);
        for offset in steps(first, area.width) {
            let (from, to) = ((-offset).max(0.0), area.height.min(area.width - offset));
            if to <= from {
                continue;
            }
            let x = |along: f64| area.x + offset + along;
            let y = |along: f64| match rising {
                true => area.y + area.height - along,
                false => area.y + along,
            };
            self.segment(x(from), y(from), x(to), y(to));
        }
    }

    fn begin_lines(&self, colour: &str, width: f64) {
        self.context.set_stroke_style(colour);
        self.context.set_line_width(width);
        self.context.begin_path();
    }

    fn segment(&self, from_x: f64, from_y: f64, to_x: f64, to_y: f64) {
        self.context.move_to(from_x, from_y);
        self.context.line_to(to_x, to_y);
    }

    /// Draws a line through points.
    pub(crate) fn line(&self, points: &[(f64, f64)], colour: &str, width: f64) {
        self.begin_lines(colour, width);
        for (index, (x, y)) in points.iter().enumerate() {
            match index {
                0 => self.context.move_to(*x, *y),
                _ => self.context.line_to(*x, *y),
            }
        }
        self.context.stroke();
    }

    /// Draws the edge of an area.
    pub(crate) fn outline(&self, area: Area, colour: &str, width: f64) {
        self.begin_lines(colour, width);
        self.context.rect(area.x, area.y, area.width, area.height);
        self.context.stroke();
    }

    /// Draws single lines.
    pub(crate) fn lines(&self, lines: &[[(f64, f64); 2]], colour: &str, width: f64) {
        self.begin_lines(colour, width);
        for [(from_x, from_y), (to_x, to_y)] in lines {
            self.segment(*from_x, *from_y, *to_x, *to_y);
        }
        self.context.stroke();
    }

    /// Fills triangles.
    pub(crate) fn triangles(&self, triangles: &[[(f64, f64); 3]], colour: &str) {
        self.context.set_fill_style(colour);
        self.context.begin_path();
        for [(x, y), rest @ ..] in triangles {
            self.context.move_to(*x, *y);
            rest.iter().for_each(|(x, y)| self.context.line_to(*x, *y));
        }
        self.context.fill();
    }

    /// Writes a text whose middle line is at `y`.
    pub(crate) fn text(&self, text: &str, at: (f64, f64), size: u32, colour: &str, align: Align) {
        self.texts(text, &[at], size, colour, align);
    }

    /// Writes the same text in several places.
    pub(crate) fn texts(
        &self,
        text: &str,
        places: &[(f64, f64)],
        size: u32,
        colour: &str,
        align: Align,
    ) {
        self.context.set_font(&format!("{size}px system-ui, sans-serif"));
        self.context.set_text_baseline("middle");
        self.context.set_text_align(match align {
            Align::Left => "left",
            Align::Center => "center",
            Align::Right => "right",
        });
        self.context.set_fill_style(colour);
        for (x, y) in places {
            // Fails only where the canvas is gone, and then nobody sees it.
            let _ = self.context.fill_text(text, *x, *y);
        }
    }
}

fn steps(first: f64, end: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |at| Some(at + HATCH_STEP)).take_while(move |at| *at < end)
}

/// The part of a run that lanes and charts show, and where on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) from_ns: f64,
    pub(crate) to_ns: f64,
    pub(crate) left: f64,
    pub(crate) width: f64,
}

impl Window {
    /// Pixels at the left for names.
    pub(crate) const NAMES: f64 = 86.0;

    pub(crate) fn new(from_ns: f64, to_ns: f64, canvas_width: f64) -> Self {
        let width = (canvas_width - Self::NAMES - 4.0).max(1.0);
        Window { from_ns, to_ns: to_ns.max(from_ns + 1.0), left: Self::NAMES, width }
    }

    /// The pixel of a time, within the window.
    pub(crate) fn x(&self, ns: u64) -> f64 {
        let part = (ns as f64 - self.from_ns) / (self.to_ns - self.from_ns);
        self.left + part.clamp(0.0, 1.0) * self.width
    }

    pub(crate) fn shows(&self, from_ns: u64, to_ns: u64) -> bool {
        to_ns as f64 >= self.from_ns && from_ns as f64 <= self.to_ns
    }
}

/// A number with one digit behind the point. Without the formatting of floating-point numbers, which
/// takes as much room in a download as all drawing does.
pub(crate) fn tenths(value: f64) -> String {
    let tenths = (value * 10.0).round() as u64;
    format!("{}.{}", tenths / 10, tenths % 10)
}
