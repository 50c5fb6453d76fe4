//! A file as a ribbon of blocks, every byte in its place.

use tailswap::limits::BLOCK_SIZE;

use super::palette::{class_hatch, class_letter};
use super::{Align, Area, LABEL, Pen, recovered};
use crate::class_bytes::blocks_of;
use crate::file_history::{Class, FileHistory, HeaderMark};
use crate::moment::{Moment, Role};

/// Above a row of blocks: headers' ticks and pointers back.
const ABOVE: f64 = 9.0;
/// Below a row: what the compaction did with these blocks.
const BELOW: f64 = 10.0;
/// Blocks are so wide at least, in pixels.
const NARROWEST: u32 = 5;
/// If they do not fit so there is nothing but this between two rows, and they may be narrower.
const DENSE: (u32, u32) = (2, 9);
const DENSE_GAP: f64 = 3.0;
/// Blocks that are wider than this carry a letter.
const LETTER_FROM: f64 = 12.0;

/// Pixels that a header has at least.
const HEADER_WIDTH: f64 = 3.0;

/// Pixels of a letter of what is written below a row, on average.
const LETTER_WIDTH: f64 = 4.6;

/// How ribbons of so many blocks fit into an area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    cell: f64,
    columns: u64,
    /// There are too many blocks to show what is in each, and to write beside them.
    is_dense: bool,
}

impl Layout {
    /// The widest blocks, up to `widest` pixels, with which all files fit, as long as they become.
    pub(crate) fn fit(blocks: &[u64], width: f64, height: f64, widest: u32) -> Self {
        let with = |cell: u32, is_dense: bool| {
            let cell = f64::from(cell);
            let columns = ((width - 2.0) / cell).floor().max(1.0) as u64;
            Layout { cell, columns, is_dense }
        };
        let fits = |layout: &Layout| {
            blocks.iter().map(|blocks| layout.height(*blocks)).sum::<f64>() <= height
        };
        let roomy = (NARROWEST..=widest).rev().map(|cell| with(cell, false));
        let dense = (DENSE.0..=DENSE.1).rev().map(|cell| with(cell, true));
        roomy.chain(dense).find(fits).unwrap_or_else(|| with(DENSE.0, true))
    }

    /// Pixels of a ribbon of so many blocks.
    pub(crate) fn height(&self, blocks: u64) -> f64 {
        blocks.div_ceil(self.columns).max(1) as f64 * self.row_height()
    }

    /// The byte that a place of the ribbon shows.
    pub(crate) fn byte_at(&self, x: f64, y: f64) -> u64 {
        let column = (((x - 1.0) / self.cell).max(0.0) as u64).min(self.columns - 1);
        let block = (y / self.row_height()).max(0.0) as u64 * self.columns + column;
        let within = ((x - self.corner(block).0) / (self.cell - 1.0)).clamp(0.0, 1.0);
        // Of dense blocks there is not enough to be seen to tell what in them is meant.
        let within = if self.is_dense { 0.0 } else { within };
        block * BLOCK_SIZE + ((within * BLOCK_SIZE as f64) as u64).min(BLOCK_SIZE - 1)
    }

    fn row_height(&self) -> f64 {
        match self.is_dense {
            true => self.cell + DENSE_GAP,
            false => ABOVE + self.cell + BELOW,
        }
    }

    /// The left upper corner of a block.
    fn corner(&self, block: u64) -> (f64, f64) {
        let (row, column) = (block / self.columns, block % self.columns);
        let above = if self.is_dense { 0.0 } else { ABOVE };
        (1.0 + column as f64 * self.cell, row as f64 * self.row_height() + above)
    }

    /// A whole block, without the gap between two.
    pub(super) fn cell_of(&self, block: u64) -> Area {
        let (x, y) = self.corner(block);
        // Next to each other, narrow ones are drawn as one.
        let size = if self.is_dense { self.cell } else { self.cell - 1.0 };
        Area { x, y, width: size, height: size }
    }

    /// Bytes within one block.
    fn bytes(&self, block: u64, from: u64, to: u64) -> Area {
        let (x, y) = self.corner(block);
        let inner = self.cell - 1.0;
        let at = |byte: u64| (byte - block * BLOCK_SIZE) as f64 / BLOCK_SIZE as f64 * inner;
        Area { x: x + at(from), y, width: at(to) - at(from), height: inner }
    }

    /// Below the rows, from a byte to another: one piece a row.
    pub(super) fn bands(&self, from: u64, to: u64, height: f64) -> Vec<Area> {
        let (first, last) = (from / BLOCK_SIZE, to.div_ceil(BLOCK_SIZE));
        let mut bands = Vec::new();
        let mut block = first;
        while block < last {
            let end = ((block / self.columns + 1) * self.columns).min(last);
            let (x, y) = self.corner(block);
            let width = (end - block) as f64 * self.cell - 1.0;
            let gap = if self.is_dense { 0.0 } else { 1.0 };
            bands.push(Area { x, y: y + self.cell + gap, width, height });
            block = end;
        }
        bands
    }
}

/// What a canvas of blocks has on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) layout: Layout,
    pub(crate) is_dark: bool,
    pub(crate) file: usize,
    pub(crate) event: usize,
}

/// Draws the blocks of a file as they are right after an event. Where the canvas has those of another
/// event on it, only what differs is drawn.
pub(crate) fn draw_blocks(
    pen: &Pen<'_>,
    layout: &Layout,
    file: &FileHistory,
    event: usize,
    before: Option<usize>,
) {
    let changed = before.map(|before| file.changed_blocks(before, event));
    if let Some(changed) = &changed {
        let cells = (0..).zip(changed).filter(|(_, is)| **is);
        let cells: Vec<Area> = cells.map(|(block, _)| layout.cell_of(block)).collect();
        pen.fill(&cells, pen.theme.ground);
    }
    let is_drawn = |block: u64| {
        let known = changed.as_ref().map(|changed| changed.get(block as usize));
        known.is_none_or(|is| is.is_some_and(|is| *is))
    };
    match layout.is_dense {
        true => draw_cells(pen, layout, file, event, is_drawn),
        false => {
            draw_bytes(pen, layout, file, event, &is_drawn);
            draw_letters(pen, layout, file, event, &is_drawn);
        }
    }
}

/// Each block in the colour of what it holds most of.
fn draw_cells(
    pen: &Pen<'_>,
    layout: &Layout,
    file: &FileHistory,
    event: usize,
    is_drawn: impl Fn(u64) -> bool,
) {
    let mut areas: [Vec<Area>; Class::ALL.len()] = Default::default();
    for (block, class) in file.block_classes(event, &is_drawn) {
        let areas = &mut areas[class as usize];
        let cell = layout.cell_of(block);
        // One area for all in a row.
        match areas.last_mut() {
            Some(last) if last.y == cell.y && last.x + last.width == cell.x => {
                last.width += cell.width;
            }
            _ => areas.push(cell),
        }
    }
    for class in Class::ALL {
        pen.fill(&areas[class as usize], pen.theme.class(class));
    }
}

/// Every byte in its place.
fn draw_bytes(
    pen: &Pen<'_>,
    layout: &Layout,
    file: &FileHistory,
    event: usize,
    is_drawn: &impl Fn(u64) -> bool,
) {
    let mut areas: [Vec<Area>; Class::ALL.len()] = Default::default();
    for (start, end, class) in file.segments(event) {
        for (block, from, to) in blocks_of(start, end).filter(|(block, ..)| is_drawn(*block)) {
            let mut area = layout.bytes(block, from, to);
            if class == Class::Header {
                // A header is short, and what matters most.
                area.width = area.width.max(HEADER_WIDTH);
            }
            areas[class as usize].push(area);
        }
    }
    // Headers last: they may be wider than their bytes.
    for class in Class::ALL.into_iter().rev() {
        let areas = &areas[class as usize];
        pen.fill(areas, pen.theme.class(class));
        let is_dead = matches!(class, Class::DeadBody | Class::DeadNode);
        let lines = if is_dead { pen.theme.muted } else { pen.theme.ink };
        pen.hatch(areas, class_hatch(class), lines);
    }
}

fn draw_letters(
    pen: &Pen<'_>,
    layout: &Layout,
    file: &FileHistory,
    event: usize,
    is_drawn: &impl Fn(u64) -> bool,
) {
    if layout.cell < LETTER_FROM {
        return;
    }
    let mut middles: [Vec<(f64, f64)>; Class::ALL.len()] = Default::default();
    for (block, class) in file.block_classes(event, &is_drawn) {
        let (x, y) = layout.corner(block);
        let half = (layout.cell - 1.0) / 2.0;
        middles[class as usize].push((x + half, y + half));
    }
    for class in Class::ALL {
        let is_dead = matches!(class, Class::DeadBody | Class::DeadNode);
        let colour = if is_dead { pen.theme.text } else { pen.theme.ink };
        let middles = &middles[class as usize];
        if !class_letter(class).is_empty() {
            // A patch under the letter, which hatching would make hard to read.
            let patch =
                |(x, y): &(f64, f64)| Area { x: x - 4.0, y: y - 5.0, width: 8.0, height: 10.0 };
            let patches: Vec<Area> = middles.iter().map(patch).collect();
            pen.fill(&patches, pen.theme.class(class));
            pen.texts(class_letter(class), middles, 10, colour, Align::Center);
        }
    }
}

/// Draws what there is to say about a file at a moment: over its blocks, on a canvas of its own.
pub(crate) fn draw_notes(
    pen: &Pen<'_>,
    layout: &Layout,
    file: &FileHistory,
    moment: &Moment,
    index: usize,
) {
    let role = moment.files.iter().find(|now| now.index == index).map(|now| now.role);
    pen.alpha(match role {
        Some(Role::Gone) => 0.12,
        Some(Role::HeldByReader) => 0.5,
        _ => 1.0,
    });
    draw_unsynced(pen, layout, file, moment.event);
    draw_headers(pen, layout, file.headers(moment.event));
    if moment.source == Some(index) && role != Some(Role::Gone) {
        draw_source(pen, layout, file, moment);
    }
    if moment.target == Some(index) && role == Some(Role::Target) {
        let end = file.length(moment.event);
        draw_cursor(pen, layout, end, "written to here");
    }
    if let Some(recovery) = moment.recovery.as_ref().filter(|recovery| recovery.index == index) {
        recovered::draw(pen, layout, recovery);
    }
    pen.alpha(1.0);
    for (name, file_name, position) in &moment.readers {
        if *file_name == file.name(moment.event) {
            draw_reader(pen, layout, name, *position);
        }
    }
}

/// A frame around what is looked at, block by block.
pub(crate) fn draw_selection(pen: &Pen<'_>, layout: &Layout, start: u64, end: u64) {
    for (block, from, to) in blocks_of(start, end) {
        let area =
            if layout.is_dense { layout.cell_of(block) } else { layout.bytes(block, from, to) };
        // What is too narrow for its frame gets it around itself.
        let wide = Area {
            x: area.x - 1.0,
            y: area.y - 1.0,
            width: area.width + 2.0,
            height: area.height + 2.0,
        };
        pen.outline(wide, pen.theme.text, 2.0);
    }
}

/// A frame around the block in which something is not as it should be.
pub(crate) fn draw_damage(pen: &Pen<'_>, layout: &Layout, byte: u64) {
    pen.outline(layout.cell_of(byte / BLOCK_SIZE), pen.theme.danger, 2.0);
}

/// A dotted edge around blocks that a crash could take back.
fn draw_unsynced(pen: &Pen<'_>, layout: &Layout, file: &FileHistory, event: usize) {
    let (durable, length) = (file.durable(event), file.length(event));
    let dots = blocks_of(durable, length).flat_map(|(block, ..)| {
        let area = layout.cell_of(block);
        let thick = if layout.is_dense { 1.0 } else { 2.0 };
        (0..4).flat_map(move |dot| {
            let along = f64::from(dot) * area.width / 4.0;
            let at = |x: f64, y: f64| Area { x, y, width: area.width / 8.0, height: thick };
            [at(area.x + along, area.y), at(area.x + along, area.y + area.height - thick)]
        })
    });
    pen.fill(&dots.collect::<Vec<_>>(), pen.theme.danger);
}

/// Ticks on headers, each pointing back at the one before; the newest with a frame.
pub(crate) fn draw_headers(pen: &Pen<'_>, layout: &Layout, headers: &[HeaderMark]) {
    let theme = pen.theme;
    let (mut ticks, mut pointers, mut heads) = (Vec::new(), Vec::new(), Vec::new());
    // Between dense rows there is no room for them.
    for header in headers.iter().filter(|_| !layout.is_dense) {
        let (x, y) = layout.corner(header.position / BLOCK_SIZE);
        let middle = x + (layout.cell - 1.0) / 2.0;
        ticks.push([(middle, y), (middle, y - 5.0)]);
        let previous = header.previous.filter(|previous| *previous < header.position);
        let Some(previous) = previous else { continue };
        let (before, before_y) = layout.corner(previous / BLOCK_SIZE);
        let before = before + (layout.cell - 1.0) / 2.0;
        // From row to row a pointer leaves at the left and comes in from the right.
        let to = if before_y == y { before + 2.0 } else { 0.0 };
        pointers.push([(middle, y - 5.0), (to, y - 5.0)]);
        heads.push([(to, y - 5.0), (to + 4.0, y - 7.5), (to + 4.0, y - 2.5)]);
    }
    pen.lines(&ticks, theme.text, 1.5);
    pen.lines(&pointers, theme.muted, 1.0);
    pen.triangles(&heads, theme.muted);
    if let Some(newest) = headers.last() {
        pen.outline(layout.cell_of(newest.position / BLOCK_SIZE), theme.text, 2.0);
    }
}

/// Where the compaction began, what it copies, each round's span, and the tail behind.
fn draw_source(pen: &Pen<'_>, layout: &Layout, file: &FileHistory, moment: &Moment) {
    let theme = pen.theme;
    let Some(began) = moment.began_at else { return };
    let through = |position: u64| position + BLOCK_SIZE;
    let band = |from: u64, to: u64, colour: &str, label: &str| {
        let bands = layout.bands(from, to, if layout.is_dense { 2.0 } else { 3.0 });
        pen.fill(&bands, colour);
        if layout.is_dense {
            return;
        }
        if let Some(widest) =
            bands.iter().rev().max_by(|one, other| one.width.total_cmp(&other.width))
        {
            // Of a short file it is longer than the band, and would begin left of the picture.
            let (x, align) = match widest.width < label.len() as f64 * LETTER_WIDTH {
                true => (widest.x, Align::Left),
                false => (widest.x + widest.width / 2.0, Align::Center),
            };
            pen.text(label, (x, widest.y + 7.0), 9, theme.text, align);
        }
    };
    let copy = match moment.rounds.is_empty() && moment.is_compacting {
        true => "to copy: what the header reaches at which compaction began",
        false => "copied: all up to the header at which compaction began",
    };
    band(0, through(began), theme.class(Class::LiveBody), copy);
    let mut done = through(began);
    for round in &moment.rounds {
        let label = match round.locked {
            true => "last".to_owned(),
            false => round.round.to_string(),
        };
        let even = round.round % 2 == 0;
        let colour = match round.locked {
            true => theme.accent,
            false if even => theme.class(Class::ByIdNode),
            false => theme.class(Class::BySeqNode),
        };
        band(through(round.from), through(round.to), colour, &label);
        done = done.max(through(round.to));
    }
    let newest = file.headers(moment.event).last().map_or(0, |header| through(header.position));
    if newest > done {
        band(done, newest, theme.danger, "tail");
    }
    if let Some(from) = moment.copied_from.filter(|_| moment.round == 0 && moment.is_compacting) {
        draw_cursor(pen, layout, from, "copying");
    }
}

fn draw_cursor(pen: &Pen<'_>, layout: &Layout, byte: u64, label: &str) {
    let block = byte / BLOCK_SIZE;
    let area = layout.bytes(block, byte, byte);
    let (x, top, bottom) = (area.x, area.y - 2.0, area.y + area.height + 2.0);
    pen.line(&[(x, top), (x, bottom)], pen.theme.text, 2.0);
    let head = [(x, bottom), (x - 4.0, bottom + 6.0), (x + 4.0, bottom + 6.0)];
    pen.triangles(&[head], pen.theme.text);
    let is_left = block % layout.columns < layout.columns / 2;
    let (shift, align) = if is_left { (7.0, Align::Left) } else { (-7.0, Align::Right) };
    pen.text(label, (x + shift, bottom + 6.0), LABEL - 1, pen.theme.text, align);
}

/// A pin on the header that a reader holds.
fn draw_reader(pen: &Pen<'_>, layout: &Layout, name: &str, position: u64) {
    draw_pin(pen, layout, name, position, pen.theme.class(Class::LocalNode));
}

/// A frame around a block, and a word above it.
pub(super) fn draw_pin(pen: &Pen<'_>, layout: &Layout, word: &str, position: u64, colour: &str) {
    let Area { x, y, width: size, .. } = layout.cell_of(position / BLOCK_SIZE);
    pen.outline(Area { x, y, width: size, height: size }, colour, 3.0);
    let is_left = position / BLOCK_SIZE % layout.columns < layout.columns / 2;
    let (at, align) = if is_left { (x, Align::Left) } else { (x + size, Align::Right) };
    let width = 6.0 + word.len() as f64 * 5.4;
    let left = if is_left { at - 2.0 } else { at - width + 2.0 };
    // In the first of dense rows there is no room above.
    let y = y.max(11.0);
    pen.fill(&[Area { x: left, y: y - 11.0, width, height: 10.0 }], colour);
    pen.text(word, (at, y - 6.0), 10, pen.theme.ink, align);
}
