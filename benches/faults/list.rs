//! What breaks, and how it is mended again.

use std::time::{Duration, Instant};

use nodpay::parties::Result;

use super::balancer::Balancer;
use super::postgres::DATABASE;
use super::scene::{NOTICED_WITHIN, Scene};

/// Where the data lies and what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One service on a SQLite file.
    Sqlite,
    /// The same on a disk so small that it can be filled.
    SqliteOnSmallDisk,
    /// Three services on one PostgreSQL.
    Postgres,
    /// With a balancer between them, which can cut and pause.
    PostgresBehindWire,
    /// With a synchronous standby, which can take over.
    PostgresWithStandby,
    /// On a disk so small that it can be filled.
    PostgresOnSmallDisk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    KillReplica,
    RollingRestart,
    KillPostgres,
    PromoteStandby,
    CutClients,
    PauseClients,
    CutDatabase,
    PauseDatabase,
    FillDisk,
    Conflicts,
}

pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// The load takes at least this long, so that it goes on before, in and after the fault.
    pub(super) takes: Duration,
    kind: Kind,
}

const fn fault(name: &'static str, place: Place, kind: Kind, seconds: u64) -> Fault {
    Fault { name, place, kind, takes: Duration::from_secs(seconds) }
}

pub(super) const FAULTS: [Fault; 15] = [
    fault("none (SQLite)", Place::Sqlite, Kind::Nothing, 4),
    fault("service killed (SQLite)", Place::Sqlite, Kind::KillReplica, 5),
    fault("service restarted (SQLite)", Place::Sqlite, Kind::RollingRestart, 8),
    fault("disk full (SQLite)", Place::SqliteOnSmallDisk, Kind::FillDisk, 6),
    fault("none", Place::Postgres, Kind::Nothing, 4),
    fault("replica killed", Place::Postgres, Kind::KillReplica, 5),
    fault("rolling restart", Place::Postgres, Kind::RollingRestart, 18),
    fault("connections of clients cut", Place::Postgres, Kind::CutClients, 5),
    fault("connections of clients paused", Place::Postgres, Kind::PauseClients, 8),
    fault("connections to PostgreSQL cut", Place::PostgresBehindWire, Kind::CutDatabase, 5),
    fault("connections to PostgreSQL paused", Place::PostgresBehindWire, Kind::PauseDatabase, 10),
    fault("serialization failures, deadlocks", Place::Postgres, Kind::Conflicts, 6),
    fault("PostgreSQL killed", Place::Postgres, Kind::KillPostgres, 6),
    fault("primary killed, standby promoted", Place::PostgresWithStandby, Kind::PromoteStandby, 6),
    fault("disk full", Place::PostgresOnSmallDisk, Kind::FillDisk, 8),
];

/// What is broken is away for this long.
const AWAY: Duration = Duration::from_secs(1);
/// How long connections are paused.
const PAUSE: Duration = Duration::from_secs(3);
/// How often connections are cut, and how long they have between two cuts.
const CUTS: u32 = 5;
const BETWEEN_CUTS: Duration = Duration::from_millis(300);
/// How long transactions are disturbed.
const DISTURBED: Duration = Duration::from_secs(2);

impl Fault {
    /// Breaks it and mends it, while the load goes on.
    pub(super) async fn strike(&self, scene: &mut Scene) -> Result<()> {
        match self.kind {
            Kind::Nothing => {}
            Kind::KillReplica => {
                let replica = scene.replicas.first_mut().ok_or("no replica")?;
                replica.kill()?;
                tokio::time::sleep(AWAY).await;
                replica.come_back()?;
            }
            Kind::RollingRestart => {
                for replica in &mut scene.replicas {
                    replica.leave()?;
                    replica.come_back()?;
                }
            }
            Kind::KillPostgres => {
                scene.server()?.kill()?;
                tokio::time::sleep(AWAY).await;
                scene.server()?.start()?;
            }
            Kind::PromoteStandby => {
                scene.server()?.kill()?;
                let standby = scene.standby.take().ok_or("no standby")?;
                standby.promote()?;
                scene.server = Some(standby);
            }
            Kind::CutClients => {
                for _ in 0..CUTS {
                    scene.front.cut();
                    tokio::time::sleep(BETWEEN_CUTS).await;
                }
            }
            Kind::CutDatabase => {
                for _ in 0..CUTS {
                    scene.wire.as_ref().ok_or("no wire")?.cut();
                    tokio::time::sleep(BETWEEN_CUTS).await;
                }
            }
            Kind::PauseClients => pause(&scene.front).await,
            Kind::PauseDatabase => pause(scene.wire.as_ref().ok_or("no wire")?).await,
            Kind::FillDisk => {
                let volume = scene.volume.as_ref().ok_or("no disk")?;
                volume.fill()?;
                let noticed = scene.has_logged("No space left", "disk is full").await;
                tokio::time::sleep(AWAY).await;
                volume.empty()?;
                noticed?;
                if let Some(server) = &mut scene.server
                    && !server.is_running()?
                {
                    server.start()?;
                }
            }
            Kind::Conflicts => disturb(scene).await?,
        }
        Ok(())
    }
}

async fn pause(connections: &Balancer) {
    connections.pause(true);
    tokio::time::sleep(PAUSE).await;
    connections.pause(false);
}

/// Every twentieth order or message fails as if another transaction had been in the way.
const DISTURB: &str = "CREATE OR REPLACE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.03 THEN RAISE EXCEPTION 'disturbed' USING ERRCODE = 'serialization_failure'; END IF;
        IF random() < 0.02 THEN RAISE EXCEPTION 'disturbed' USING ERRCODE = 'deadlock_detected'; END IF;
        RETURN NEW;
    END $$";
/// One statement each, so that they take no lock while they hold another.
const WHERE: [&str; 2] = ["messages", "orders"];
const CALM: &str = "CREATE OR REPLACE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
/// Locks are taken the other way round than the service takes them, until PostgreSQL finds a deadlock.
const DEADLOCK: &str = "BEGIN; SET LOCAL deadlock_timeout = '1s'; LOCK TABLE bills IN SHARE ROW EXCLUSIVE MODE;
    SELECT pg_sleep(0.03); SELECT count(*) FROM (SELECT 1 FROM households FOR UPDATE) AS locked; COMMIT";
async fn disturb(scene: &mut Scene) -> Result<()> {
    let server = scene.server()?;
    server.sql(DATABASE, DISTURB)?;
    for table in WHERE {
        let trigger = format!(
            "CREATE TRIGGER disturb BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION disturb()"
        );
        server.sql(DATABASE, &trigger)?;
    }
    let (started, mut deadlocks) = (Instant::now(), 0);
    while started.elapsed() < DISTURBED || (deadlocks == 0 && started.elapsed() < NOTICED_WITHIN) {
        // It may be the one that PostgreSQL ends.
        let _ = server.sql(DATABASE, DEADLOCK);
        deadlocks = server.log().matches("deadlock detected").count();
    }
    server.sql(DATABASE, CALM)?;
    if deadlocks == 0 { Err("there was no deadlock".into()) } else { Ok(()) }
}
