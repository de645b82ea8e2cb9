//! An echo server of one's own that can be looked at and steered.
//!
//! `cargo run --release --package fastport-admin --example watched [LISTEN] [ADMIN]`

use fastport::{PacketId, Router, Server};
use fastport_admin::{AdminConfig, AdminServer, Control};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What the admin listener can have this program do.
struct Steering(Arc<Server>);

impl Control for Steering {
    fn drain(&self) {
        self.0.service().begin_stop(Duration::from_secs(30));
    }

    fn reload(&self) -> Result<Vec<String>, String> {
        Err("there are no settings to read again".into())
    }

    fn set_log_level(&self, _directives: &str) -> Result<(), String> {
        Err("there is no log".into())
    }

    fn log_lines_lost(&self) -> u64 {
        0
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or("127.0.0.1:6628".into());
    let admin = arguments.next().unwrap_or("127.0.0.1:6629".into());
    let echo = Router::new().on_packet(PacketId::RAW_ECHO, |session, packet| {
        // Refused only when this peer has too much to read, or is gone.
        let _ = session.forward(&packet);
    });
    let server = Arc::new(Server::builder().listen(listen).handler(echo).start()?);
    println!("listening on {}", server.local_address());

    let config = AdminConfig {
        listen: vec![admin.parse()?],
        ..AdminConfig::default()
    };
    let monitor = server.service().monitor();
    let admin = AdminServer::start(config, monitor, Arc::new(Steering(server.clone())))?;
    for address in admin.addresses() {
        println!("admin on {address}");
    }
    server.wait()?;
    Ok(())
}
