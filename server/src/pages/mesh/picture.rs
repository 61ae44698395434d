//! The picture of a mesh: agents on a circle, everyone in the middle, and lines between those who have written to
//! each other lately, as far as the viewer may read it.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};

use askama::Template;
use meshwire_protocol::AgentId;

use super::agents::{AgentView, Traffic};

/// Most agents in a picture.
const MOST: usize = 24;
/// Up to this number there is room for names beside each other; more are turned like the spokes of a wheel.
const LEVEL: usize = 8;
/// The width of the picture.
const WIDTH: f64 = 400.0;
/// The distance of the agents from the middle.
const RADIUS: f64 = 104.0;
/// The distance of their names.
const NAMES: f64 = RADIUS + 17.0;
/// Longest name that is written out, in characters.
const LONGEST: usize = 17;
/// Most lines; those that stand for fewer messages are left out.
const LINES: usize = 40;

/// A picture, drawn.
#[derive(Template, Clone, PartialEq)]
#[template(path = "mesh/picture.html")]
pub(super) struct Picture {
    height: f64,
    /// The part of the plane that is shown: names reach beyond the circle.
    view: &'static str,
    nodes: Vec<Node>,
    lines: Vec<Line>,
    /// How many agents it leaves out.
    more: usize,
    messages: usize,
    words: String,
}

impl askama::filters::HtmlSafe for Picture {}

/// An agent.
#[derive(Clone, PartialEq)]
struct Node {
    x: String,
    y: String,
    is_person: bool,
    is_active: bool,
    name: String,
    label: String,
    /// Where the name stands: moved and turned.
    place: String,
    anchor: &'static str,
}

/// Messages between two agents, or from one to everyone.
#[derive(Clone, PartialEq)]
struct Line {
    path: String,
    width: String,
    to_all: bool,
    title: String,
}

/// Two ends of a line: indexes of agents; `None` is everyone.
type Ends = (usize, Option<usize>);

impl Picture {
    /// Of agents, the most lately active first; `None` when there is not one.
    pub(super) fn new(agents: &[AgentView], traffic: &Traffic) -> Option<Self> {
        let shown = &agents[..agents.len().min(MOST)];
        if shown.is_empty() {
            return None;
        }
        let height = if shown.len() > LEVEL { WIDTH } else { 310.0 };
        let middle = (WIDTH / 2.0, height / 2.0);
        let angles: Vec<f64> =
            (0..shown.len()).map(|n| TAU * number(n) / number(shown.len()) - PI / 2.0).collect();
        let at = |n: usize| around(middle, RADIUS, angles[n]);
        let counts = count(shown, traffic);
        let mut counts: Vec<(Ends, usize)> = counts.into_iter().collect();
        // The heaviest first, in words as in the drawing.
        counts.sort_by(|(_, a), (_, b)| b.cmp(a));
        counts.truncate(LINES);
        let name = |n: usize| shown[n].name.as_str();
        let said: Vec<String> = counts.iter().map(|(ends, n)| say(*ends, *n, name)).collect();
        let lines = counts.iter().zip(&said).map(|(((a, b), n), title)| Line {
            path: match b {
                None => straight(at(*a), middle),
                Some(b) => curve(at(*a), at(*b)),
            },
            width: format!("{:.1}", (1.0 + number(*n).sqrt()).min(6.0)),
            to_all: b.is_none(),
            title: title.clone(),
        });
        let lines = lines.collect();
        let messages = counts.iter().map(|(_, n)| n).sum();
        let turned = shown.len() > LEVEL;
        let nodes = shown.iter().zip(&angles);
        Some(Self {
            height,
            view: if turned { "-40 -40 480 480" } else { "-50 0 500 310" },
            nodes: nodes.map(|(agent, angle)| Node::new(agent, middle, *angle, turned)).collect(),
            lines,
            more: agents.len() - shown.len(),
            messages,
            words: said.join("; "),
        })
    }
}

/// How many messages went between whom, both ways counted together.
fn count(shown: &[AgentView], traffic: &Traffic) -> BTreeMap<Ends, usize> {
    let index = |id: &AgentId| shown.iter().position(|agent| agent.id == *id);
    let mut counts = BTreeMap::new();
    for (from, to) in traffic.iter() {
        let Some(from) = index(from) else { continue };
        let ends = match to.map(index) {
            None => (from, None),
            Some(Some(to)) if to != from => (from.min(to), Some(from.max(to))),
            // To itself, or to one that is not shown.
            Some(_) => continue,
        };
        *counts.entry(ends).or_insert(0) += 1;
    }
    counts
}

fn say<'a>((a, b): Ends, messages: usize, name: impl Fn(usize) -> &'a str) -> String {
    let s = if messages == 1 { "" } else { "s" };
    match b {
        None => format!("{} to everyone: {messages} message{s}", name(a)),
        Some(b) => format!("{} and {}: {messages} message{s}", name(a), name(b)),
    }
}

impl Node {
    fn new(agent: &AgentView, middle: (f64, f64), angle: f64, turned: bool) -> Self {
        let (x, y) = around(middle, RADIUS, angle);
        let (tx, ty) = around(middle, NAMES, angle);
        let (across, down) = (angle.cos(), angle.sin());
        let is_left = across < -0.01;
        let anchor = match across.abs() < 0.2 && !turned {
            true => "middle",
            false if is_left => "end",
            false => "start",
        };
        let place = if turned {
            // Never upside down.
            let angle = angle.to_degrees() + if is_left { 180.0 } else { 0.0 };
            format!("translate({tx:.1} {ty:.1}) rotate({angle:.1})")
        } else {
            // Above and below the circle a name needs some more room.
            let ty = ty + if across.abs() < 0.2 { 4.0 * down } else { 0.0 };
            format!("translate({tx:.1} {ty:.1})")
        };
        Self {
            x: format!("{x:.1}"),
            y: format!("{y:.1}"),
            is_person: agent.is_person,
            is_active: agent.is_active,
            label: shortened(&agent.name),
            name: agent.name.clone(),
            place,
            anchor,
        }
    }
}

fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    // Names of a team often differ at their end.
    let start = name.chars().take(LONGEST / 2);
    start.chain(['…']).chain(name.chars().skip(length - LONGEST / 2)).collect()
}

fn around((x, y): (f64, f64), radius: f64, angle: f64) -> (f64, f64) {
    (x + radius * angle.cos(), y + radius * angle.sin())
}

fn straight((ax, ay): (f64, f64), (bx, by): (f64, f64)) -> String {
    format!("M{ax:.1} {ay:.1}L{bx:.1} {by:.1}")
}

/// Bent to one side, so that it does not run through the middle.
fn curve((ax, ay): (f64, f64), (bx, by): (f64, f64)) -> String {
    let (across, down) = (bx - ax, by - ay);
    let x = f64::midpoint(ax, bx) + down * 0.22;
    let y = f64::midpoint(ay, by) - across * 0.22;
    format!("M{ax:.1} {ay:.1}Q{x:.1} {y:.1} {bx:.1} {by:.1}")
}

/// A count as a coordinate.
fn number(count: usize) -> f64 {
    // There are never more than a hundred of anything here.
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_name_keeps_its_start_and_its_end() {
        assert_eq!(shortened(""), "");
        assert_eq!(shortened("exactly-17-signs-"), "exactly-17-signs-");
        assert_eq!(shortened("exactly-18-signs-x"), "exactly-…-signs-x");
        assert_eq!(shortened("team-of-builders-1"), "team-of-…ilders-1");
        let long = format!("{}{}", "ä".repeat(40), "ö".repeat(40));
        assert_eq!(shortened(&long), format!("{}…{}", "ä".repeat(8), "ö".repeat(8)));
    }
}
