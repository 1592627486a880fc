// SPDX-License-Identifier: MIT
//! How the peer listens and connects.

use std::io::Write;
use std::time::Duration;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use vox::transport::tcp::StreamLink;
use vox::{FromVoxSession, TransportMode, VoxListener};

use crate::{evolved, sketch, testbed};

/// How long a peer may take to answer the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A TCP listener that can set TCP_NODELAY on the sockets it accepts, which
/// vox's own listener never does.
struct Listener {
    socket: TcpListener,
    nodelay: bool,
}

impl VoxListener for Listener {
    type Link = StreamLink<OwnedReadHalf, OwnedWriteHalf>;

    async fn accept(&mut self) -> std::io::Result<Self::Link> {
        let (stream, _) = self.socket.accept().await?;
        if self.nodelay {
            stream.set_nodelay(true)?;
        }
        Ok(StreamLink::tcp(stream))
    }
}

/// What a server serves.
#[derive(Clone, Copy, Default)]
pub enum Offer {
    #[default]
    Testbed,
    Evolved,
    Sketch,
}

/// Serves until the process is killed. The accept loop is vox's own, the one
/// that `vox::serve` ends up in.
pub async fn serve(address: &str, nodelay: bool, offer: Offer) -> Result<(), String> {
    let socket = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let bound = socket.local_addr().map_err(|error| error.to_string())?;

    // The line is the signal that connecting works from now on, and with port 0
    // the only way to learn the port.
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {bound}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot report the address: {error}"))?;

    let listener = Listener { socket, nodelay };
    let served = match offer {
        Offer::Testbed => {
            let service = testbed::TestbedDispatcher::new(testbed::Service);
            vox::serve_listener(listener, service).await
        }
        Offer::Evolved => {
            let service = evolved::TestbedDispatcher::new(evolved::Service);
            vox::serve_listener(listener, service).await
        }
        Offer::Sketch => {
            let service = sketch::SketchDispatcher::new(testbed::Service);
            vox::serve_listener(listener, service).await
        }
    };
    served.map_err(|error| format!("serving failed: {error}"))
}

/// Connects a generated client to one TCP connection.
///
/// `vox::connect` would reconnect for ever and send unanswered calls again,
/// which hides a peer that dies or closes the connection. A session on a given
/// link ends with that link instead. What goes over the wire is the same.
pub async fn connect<Client: FromVoxSession>(address: &str) -> Result<Client, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    stream
        .set_nodelay(true)
        .map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
    vox::initiator_on(StreamLink::tcp(stream), TransportMode::Bare)
        .connect_timeout(HANDSHAKE_LIMIT)
        .establish::<Client>()
        .await
        .map_err(|error| format!("no session with {address}: {error:?}"))
}
