//! What the dashboard looks like.

use super::{Dashboard, Sort};
use crate::quantity::{show_count, show_ns};
use fastport_admin::model::SessionRow;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};
use std::collections::BTreeMap;

/// Draws everything.
pub(super) fn draw(dashboard: &Dashboard, frame: &mut Frame<'_>) {
    let workers = u16::try_from(dashboard.status.workers.len()).unwrap_or(u16::MAX);
    let [head, middle, table, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(workers.clamp(7, 12) + 2),
        Constraint::Min(5),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(52), Constraint::Percentage(48)]).areas(middle);
    let [numbers, curve] =
        Layout::vertical([Constraint::Length(6), Constraint::Min(3)]).areas(left);
    let [workers_area, reasons_area] =
        Layout::horizontal([Constraint::Max(29), Constraint::Min(24)]).areas(right);
    frame.render_widget(headline(dashboard), head);
    frame.render_widget(overview(dashboard), numbers);
    draw_curve(dashboard, frame, curve);
    frame.render_widget(workers_table(dashboard), workers_area);
    frame.render_widget(reasons(dashboard), reasons_area);
    draw_sessions(dashboard, frame, table);
    frame.render_widget(footer(dashboard), foot);
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
    let mut spans = vec![
        Span::from("FastPort ").bold(),
        Span::from(format!(
            "{} on {}, up {uptime}, {:.1} % of all cores, {}",
            status.version,
            status.engine,
            status.process.cpu_percent,
            show_bytes(status.process.memory_bytes),
        )),
    ];
    if status.draining {
        spans.push(Span::from("  DRAINING").fg(Color::Red).bold());
    }
    Paragraph::new(Line::from(spans))
}

fn overview(dashboard: &Dashboard) -> Paragraph<'_> {
    let status = &dashboard.status;
    let (totals, rates, queues) = (&status.totals, &status.rates, &status.queues);
    let line = |name: &str, text: String| {
        Line::from(vec![
            Span::from(format!("{name:<9}")).fg(Color::DarkGray),
            text.into(),
        ])
    };
    Paragraph::new(vec![
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
        line(
            "handlers",
            format!(
                "p50 {}, p99 {}",
                show_ns(status.handler.p50_us * 1e3),
                show_ns(status.handler.p99_us * 1e3),
            ),
        ),
        line(
            "queues",
            format!(
                "{} for peers, {} for the pool, {} in mailboxes",
                show_bytes(queues.send_bytes),
                show_count(queues.pool_sessions),
                show_count(queues.mailboxes),
            ),
        ),
    ])
    .block(Block::bordered().title("Server"))
}

fn draw_curve(dashboard: &Dashboard, frame: &mut Frame<'_>, area: Rect) {
    let places = usize::from(area.width.saturating_sub(2));
    let skipped = dashboard.packets.len().saturating_sub(places);
    let shown: Vec<u64> = dashboard.packets.iter().skip(skipped).copied().collect();
    let most = shown.iter().copied().max().unwrap_or(0);
    let title = format!("Packets a second, up to {}", show_count(most));
    let curve = Sparkline::default()
        .data(shown)
        .style(Style::new().fg(Color::Cyan))
        .block(Block::bordered().title(title));
    frame.render_widget(curve, area);
}

fn workers_table(dashboard: &Dashboard) -> Table<'_> {
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
        Constraint::Min(9),
        Constraint::Length(4),
    ];
    Table::new(rows, widths)
        .header(Row::new(["#", "sessions", "packets/s", "mail"]).fg(Color::DarkGray))
        .block(Block::bordered().title("Workers"))
}

fn reasons(dashboard: &Dashboard) -> Paragraph<'_> {
    let mut lines = most_first("", &dashboard.status.disconnects);
    lines.extend(most_first("refused: ", &dashboard.status.rejects));
    if lines.is_empty() {
        lines.push(Line::from("none so far").fg(Color::DarkGray));
    }
    Paragraph::new(lines).block(Block::bordered().title("Ended, by reason"))
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
        Constraint::Length(10),
        Constraint::Min(22),
        Constraint::Length(14),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(9),
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
    let note = match dashboard.note.as_str() {
        "" => String::new(),
        note => format!("   {note}"),
    };
    Paragraph::new(Line::from(vec![
        Span::from(keys).fg(Color::DarkGray),
        note.into(),
    ]))
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
