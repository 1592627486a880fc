// SPDX-License-Identifier: MIT
//! How the peer listens and connects.

use std::io::Write;
use std::time::Duration;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use vox::transport::local::{self, LocalLink};
use vox::transport::tcp::StreamLink;
use vox::{FromVoxSession, Link, TransportMode, VoxListener};

use crate::{evolved, sketch, testbed};

/// How long a peer may take to answer the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What stands before the path of a unix socket in an address.
const LOCAL: &str = "local://";

/// How often a socket that is not there yet is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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

/// The line is the signal that connecting works from now on, and with port 0
/// the only way to learn the port.
fn report(address: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {address}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot report the address: {error}"))
}

/// Serves on a unix socket with all that vox does for one: the lock beside it,
/// and the removal of what is left of others. It does not say when it listens,
/// so somebody has to try.
async fn serve_local(address: &str, path: &str, offer: Offer) -> Result<(), String> {
    let (reported, tried) = (address.to_string(), path.to_string());
    tokio::spawn(async move {
        while local::connect(&tried).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        report(&reported)
    });
    let served = match offer {
        Offer::Testbed => {
            vox::serve(address, testbed::TestbedDispatcher::new(testbed::Service)).await
        }
        Offer::Evolved => {
            vox::serve(address, evolved::TestbedDispatcher::new(evolved::Service)).await
        }
        Offer::Sketch => vox::serve(address, sketch::SketchDispatcher::new(testbed::Service)).await,
    };
    served.map_err(|error| format!("serving failed: {error}"))
}

/// Serves until the process is killed. The accept loop is vox's own, the one
/// that `vox::serve` ends up in.
pub async fn serve(address: &str, nodelay: bool, offer: Offer) -> Result<(), String> {
    if let Some(path) = address.strip_prefix(LOCAL) {
        return serve_local(address, path, offer).await;
    }
    let socket = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let bound = socket.local_addr().map_err(|error| error.to_string())?;

    report(&bound.to_string())?;
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

/// Connects a generated client to one TCP connection or unix socket.
///
/// `vox::connect` would reconnect for ever and send unanswered calls again,
/// which hides a peer that dies or closes the connection. A session on a given
/// link ends with that link instead. What goes over the wire is the same.
pub async fn connect<Client: FromVoxSession>(address: &str) -> Result<Client, String> {
    let refused = |error| format!("cannot connect to {address}: {error}");
    if let Some(path) = address.strip_prefix(LOCAL) {
        let link = LocalLink::connect(path).await.map_err(refused)?;
        return establish(link, address).await;
    }
    let stream = TcpStream::connect(address).await.map_err(refused)?;
    stream
        .set_nodelay(true)
        .map_err(|error| format!("cannot set TCP_NODELAY: {error}"))?;
    establish(StreamLink::tcp(stream), address).await
}

async fn establish<Client, L>(link: L, address: &str) -> Result<Client, String>
where
    Client: FromVoxSession,
    L: Link + Send + 'static,
    L::Tx: Send + Sync + 'static,
    L::Rx: Send + 'static,
{
    vox::initiator_on(link, TransportMode::Bare)
        .connect_timeout(HANDSHAKE_LIMIT)
        .establish::<Client>()
        .await
        .map_err(|error| format!("no session with {address}: {error:?}"))
}
