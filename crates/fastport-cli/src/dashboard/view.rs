//! What the dashboard looks like.

use super::{Dashboard, Sort};
use crate::commands::status::{handler_times, unhandled};
use crate::quantity::show_count;
use fastport_admin::model::SessionRow;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};
use std::collections::BTreeMap;

/// From this width on the numbers have room beside the workers.
const WIDE: u16 = 150;
/// The numbers' longest line, with its frame.
const NUMBERS_WIDTH: u16 = 80;
/// The workers' columns, with their frame.
const WORKERS_WIDTH: u16 = 30;
const CURVE_HEIGHT: u16 = 3;

/// Draws everything. Its lines fit into 80 columns, and everything has a place in 24 lines.
pub(super) fn draw(dashboard: &Dashboard, frame: &mut Frame<'_>) {
    let area = frame.area();
    let notes = notes(dashboard, usize::from(area.width));
    let numbers = overview(dashboard);
    let numbers_height = height(numbers.len()) + 2;
    // A frame and a line of heads.
    let workers_height = height(dashboard.status.workers.len()) + 3;
    let reasons = reasons(dashboard);
    let lists_height = workers_height.max(height(reasons.len()) + 2);
    let beside = area.width >= WIDE;
    let middle_height = if beside {
        lists_height.clamp(numbers_height + CURVE_HEIGHT, 15)
    } else {
        // The sessions have 7 lines, or fewer when there is something to note.
        let others = numbers_height + CURVE_HEIGHT + height(notes.len()) + 2 + 7;
        let most = area.height.saturating_sub(others).clamp(5, 15);
        numbers_height + CURVE_HEIGHT + lists_height.min(most)
    };
    let [head, middle, table, note, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(middle_height),
        Constraint::Min(4),
        Constraint::Length(height(notes.len())),
        Constraint::Length(1),
    ])
    .areas(area);
    let (upper, lists) = if beside {
        let [left, right] =
            Layout::horizontal([Constraint::Length(NUMBERS_WIDTH), Constraint::Min(0)])
                .areas(middle);
        (left, right)
    } else {
        let [above, below] = Layout::vertical([
            Constraint::Length(numbers_height + CURVE_HEIGHT),
            Constraint::Min(0),
        ])
        .areas(middle);
        (above, below)
    };
    let [numbers_area, curve] =
        Layout::vertical([Constraint::Length(numbers_height), Constraint::Min(0)]).areas(upper);
    let [workers_area, reasons_area] =
        Layout::horizontal([Constraint::Length(WORKERS_WIDTH), Constraint::Min(0)]).areas(lists);
    frame.render_widget(headline(dashboard), head);
    let numbers = Paragraph::new(numbers).block(Block::bordered().title("Server"));
    frame.render_widget(numbers, numbers_area);
    draw_curve(dashboard, frame, curve);
    frame.render_widget(workers_table(dashboard, workers_area), workers_area);
    let reasons = Paragraph::new(reasons).block(Block::bordered().title("Ended, by reason"));
    frame.render_widget(reasons, reasons_area);
    draw_sessions(dashboard, frame, table);
    frame.render_widget(Paragraph::new(notes), note);
    frame.render_widget(footer(dashboard), foot);
}

/// As many lines as a terminal can have at most.
fn height(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX).min(1000)
}

fn headline(dashboard: &Dashboard) -> Paragraph<'_> {
    let status = &dashboard.status;
    let seconds = status.uptime_ms / 1000;
    let uptime = format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let mut spans = vec![Span::from("FastPort ").bold()];
    // Before the rest, which a narrow terminal cuts.
    if let Some(lost) = &dashboard.lost {
        let mark = format!("LOST, last seen {} s ago: ", lost.seconds);
        spans.push(Span::from(mark).fg(Color::Red).bold());
    }
    if status.draining {
        spans.push(Span::from("DRAINING ").fg(Color::Red).bold());
    }
    let rest = if dashboard.lost.is_some() {
        Style::new().fg(Color::DarkGray)
    } else {
        Style::new()
    };
    spans.push(Span::styled(
        format!(
            "{} on {}, up {uptime}, {:.1} % of all cores, {}",
            status.version,
            status.engine,
            status.process.cpu_percent,
            show_bytes(status.process.memory_bytes),
        ),
        rest,
    ));
    Paragraph::new(Line::from(spans))
}

fn overview(dashboard: &Dashboard) -> Vec<Line<'static>> {
    let status = &dashboard.status;
    let (totals, rates, queues) = (&status.totals, &status.rates, &status.queues);
    let line = |name: &str, text: String| {
        Line::from(vec![
            Span::from(format!("{name:<10}")).fg(Color::DarkGray),
            text.into(),
        ])
    };
    let mut lines = vec![
        line(
            "sessions",
            format!(
                "{} now, {} accepted, {} ended, {} refused",
                show_count(status.sessions),
                show_count(totals.accepted),
                show_count(totals.ended),
                show_count(totals.rejected),
            ),
        ),
        line(
            "rates",
            format!(
                "{}/s packets, {}/s in, {}/s out, {:.0}/s new",
                show_count(rates.packets_in as u64),
                show_bytes(rates.bytes_in as u64),
                show_bytes(rates.bytes_out as u64),
                rates.accepted,
            ),
        ),
        line("handlers", handler_times(&status.handler)),
        line(
            "queues",
            format!(
                "{} for peers, {} for the pool, {} in mailboxes",
                show_bytes(queues.send_bytes),
                show_count(queues.pool_sessions),
                show_count(queues.mailboxes),
            ),
        ),
    ];
    if let Some(text) = unhandled(totals) {
        let name = Span::from("unhandled ").fg(Color::Yellow);
        lines.push(Line::from(vec![name, text.into()]));
    }
    lines
}

fn draw_curve(dashboard: &Dashboard, frame: &mut Frame<'_>, area: Rect) {
    let places = usize::from(area.width.saturating_sub(2));
    let skipped = dashboard.packets.len().saturating_sub(places);
    let shown: Vec<u64> = dashboard.packets.iter().skip(skipped).copied().collect();
    let most = shown.iter().copied().max().unwrap_or(0);
    // One sample a second.
    let seconds = shown.len();
    let title = format!(
        "Packets a second, last {seconds} s, up to {}",
        show_count(most)
    );
    let curve = Sparkline::default()
        .data(shown)
        .style(Style::new().fg(Color::Cyan))
        .block(Block::bordered().title(title));
    frame.render_widget(curve, area);
}

fn workers_table(dashboard: &Dashboard, area: Rect) -> Table<'_> {
    let workers = dashboard.status.workers.len();
    let shown = usize::from(area.height.saturating_sub(3));
    let title = if shown < workers {
        format!("Workers, {shown} of {workers}")
    } else {
        "Workers".into()
    };
    let rows = dashboard.status.workers.iter().map(|worker| {
        Row::new([
            worker.index.to_string(),
            show_count(worker.sessions as u64),
            show_count(worker.packets_per_second as u64),
            worker.mailbox.to_string(),
        ])
    });
    let widths = [
        Constraint::Length(3),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(5),
    ];
    Table::new(rows, widths)
        .header(Row::new(["#", "sessions", "packets/s", "mail"]).fg(Color::DarkGray))
        .block(Block::bordered().title(title))
}

fn reasons(dashboard: &Dashboard) -> Vec<Line<'static>> {
    let mut lines = most_first("", &dashboard.status.disconnects);
    lines.extend(most_first("refused: ", &dashboard.status.rejects));
    if lines.is_empty() {
        lines.push(Line::from("none yet").fg(Color::DarkGray));
    }
    lines
}

fn most_first(before: &str, counts: &BTreeMap<String, u64>) -> Vec<Line<'static>> {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let line = |(name, count): (&String, &u64)| {
        Line::from(format!("{:>9} {before}{name}", show_count(*count)))
    };
    counts.into_iter().map(line).collect()
}

fn draw_sessions(dashboard: &Dashboard, frame: &mut Frame<'_>, area: Rect) {
    let heads = [
        "id", "peer", "packets", "received", "sent", "queued", "silent",
    ];
    let header = heads.map(|head| {
        let cell = Cell::from(head);
        if head == dashboard.sort.name() {
            cell.style(Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD))
        } else {
            cell.style(Style::new().fg(Color::DarkGray))
        }
    });
    let widths = [
        Constraint::Length(9),
        // `255.255.255.255:65535`
        Constraint::Min(21),
        Constraint::Length(11),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
    ];
    let shown = dashboard.sessions.len();
    let title = format!(
        "Sessions: {} in all, {} {} by {}",
        show_count(dashboard.total as u64),
        if dashboard.sort == Sort::Id {
            "first"
        } else {
            "top"
        },
        show_count(shown as u64),
        dashboard.sort.name(),
    );
    let table = Table::new(dashboard.sessions.iter().map(session_row), widths)
        .header(Row::new(header))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(title));
    let mut state = TableState::default().with_selected(Some(dashboard.chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

fn session_row(session: &SessionRow) -> Row<'_> {
    Row::new([
        session.id.to_string(),
        session.peer.clone(),
        show_count(session.packets_in),
        show_bytes(session.bytes_in),
        show_bytes(session.bytes_out),
        show_bytes(session.queued_bytes),
        session
            .silent_ms
            .map_or("-".into(), |ms| format!("{} s", ms / 1000)),
    ])
}

fn footer(dashboard: &Dashboard) -> Paragraph<'_> {
    if let Some(id) = dashboard.about_to_kick {
        let question = format!("end session {id}? y: yes, any other key: no");
        return Paragraph::new(question).style(Style::new().fg(Color::Black).bg(Color::Yellow));
    }
    let keys = "q quit   arrows choose   s order   k kick";
    Paragraph::new(Line::from(keys).fg(Color::DarkGray))
}

/// What came of the last key, and what is wrong with the server, in lines of at most `width`.
fn notes(dashboard: &Dashboard, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<_> = wrapped(&dashboard.note, width)
        .into_iter()
        .map(Line::from)
        .collect();
    if let Some(lost) = &dashboard.lost {
        let problem = wrapped(&lost.problem, width).into_iter();
        lines.extend(problem.map(|line| Line::from(line).fg(Color::Red)));
    }
    lines
}

/// The words of `text` in lines of at most `width` characters; a longer word is cut by the edge.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Bytes with three digits: `950 B`, `12.3 KiB`.
fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastport_admin::AdminAddress;
    use fastport_admin::client::AdminClient;
    use fastport_admin::model::{Status, Worker};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(dashboard: &Dashboard, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(dashboard, frame)).unwrap();
        terminal.backend().to_string()
    }

    fn dashboard() -> Dashboard {
        let mut status = Status {
            sessions: 1234,
            workers: vec![Worker::default(); 2],
            ..Status::default()
        };
        status.disconnects.insert("peer_closed".into(), 7_000);
        status.rejects.insert("full".into(), 5);
        let mut dashboard = Dashboard::new(status);
        dashboard.sessions = vec![SessionRow {
            id: 42,
            peer: "192.0.2.1:5000".into(),
            queued_bytes: 2048,
            ..SessionRow::default()
        }];
        dashboard.total = 1234;
        dashboard
    }

    #[test]
    fn everything_is_on_the_screen() {
        let screen = screen(&dashboard(), 120, 30);
        for text in [
            "1,234 now",
            "peer_closed",
            "refused: full",
            "42",
            "2.0 KiB",
            "Workers",
        ] {
            assert!(screen.contains(text), "no {text} in\n{screen}");
        }
    }

    #[test]
    fn nothing_is_cut_on_a_terminal_of_80_by_24() {
        let mut dashboard = dashboard();
        let status = &mut dashboard.status;
        status.totals.accepted = 12_345_678;
        status.totals.ended = 12_344_444;
        status.totals.unhandled = 1_234_567;
        status.rates.packets_in = 1_062_186.0;
        (status.rates.bytes_in, status.rates.bytes_out) = (1e9, 1e9);
        status.handler.samples = 1;
        status.workers[1].sessions = 617;
        status.workers[1].packets_per_second = 531_093.0;
        status.workers[1].mailbox = 12_345;
        let name = "frame_before_authentication";
        status.disconnects.insert(name.into(), 1_234_567);
        dashboard.note = "session 42 was asked to end; ".repeat(4) + "that is all";
        dashboard.sessions[0].peer = "255.255.255.255:65535".into();
        let screen = screen(&dashboard, 80, 24);
        for text in [
            "1,234 now, 12,345,678 accepted, 12,344,444 ended, 0 refused ",
            "1,062,186/s packets, 954 MiB/s in, 954 MiB/s out, 0/s new ",
            "handlers  none timed in the last second ",
            "0 B for peers, 0 for the pool, 0 in mailboxes ",
            "unhandled 1,234,567 packets have ids without a handler; the log names them ",
            "Packets a second, last 1 s, up to 0",
            "#   sessions packets/s mail ",
            "0   617      531,093   12345",
            "1,234,567 frame_before_authentication ",
            "42        255.255.255.255:65535 ",
            "packets     received sent     queued   silent ",
            "that is all ",
            "k kick ",
        ] {
            assert!(screen.contains(text), "no {text} in\n{screen}");
        }
    }

    #[test]
    fn workers_that_have_no_room_are_counted() {
        let mut dashboard = dashboard();
        dashboard.status.workers = vec![Worker::default(); 64];
        assert!(screen(&dashboard, 80, 24).contains("Workers, 3 of 64"));
        assert!(screen(&dashboard, 200, 50).contains("Workers, 12 of 64"));
    }

    #[test]
    fn a_lost_server_is_not_shown_as_if_it_lived() {
        // Nobody listens there.
        let nowhere = AdminAddress::Unix("no/such/folder/for/a/socket".into());
        let client = AdminClient::new(nowhere, None).unwrap();
        let mut dashboard = dashboard();
        dashboard.look(&client);
        let lost = dashboard.lost.as_mut().expect("nobody answers");
        lost.seconds = 12;
        let screen = screen(&dashboard, 80, 24);
        let head = screen.lines().next().unwrap();
        assert!(head.contains("LOST, last seen 12 s ago"), "{screen}");
        // The end of the problem.
        assert!(screen.contains("run with --admin there?"), "{screen}");
        assert!(screen.contains("1,234 now"), "{screen}");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("", 5), Vec::<String>::new());
        assert_eq!(wrapped("one two 34567", 7), ["one two", "34567"]);
        assert_eq!(wrapped("longer a", 3), ["longer", "a"]);
    }

    #[test]
    fn the_question_before_a_kick_names_the_session() {
        let mut dashboard = dashboard();
        dashboard.about_to_kick = Some(42);
        assert!(screen(&dashboard, 80, 24).contains("end session 42?"));
    }

    #[test]
    fn no_terminal_is_too_small() {
        for (width, height) in [(1, 1), (20, 5), (300, 100)] {
            screen(&dashboard(), width, height);
        }
    }
}
