//! The TPM store on swtpm: each test starts one of its own, with its own state.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nodpay_keys::KeyConfig;
use nodpay_keys::storage::Storage;
use nodpay_keys::tpm::{MAX_TRIES, RECOVERY_S};
use nodpay_watch::{KeyStore, VaultAnswer};
use tempfile::TempDir;

const PIN: &[u8] = b"7391";
const LOCKED: VaultAnswer = VaultAnswer::Locked { for_ms: Some(600_000) };
/// Ports that others took meanwhile are tried again with others.
const PORT_TRIES: usize = 20;

/// TPM2_Shutdown(CLEAR), what an orderly system sends before the power goes.
const SHUTDOWN: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x45, 0, 0];

static CHOOSING: Mutex<()> = Mutex::new(());

fn wrong(tries_left: u32) -> VaultAnswer {
    VaultAnswer::Wrong { tries_left: Some(tries_left) }
}

/// A software TPM.
struct Tpm {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Tpm {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder");
        // One at a time, so that no other test takes a port between its choice and its use.
        let _choosing = CHOOSING.lock();
        for _ in 0..PORT_TRIES {
            let data = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = data.local_addr().expect("an address").port();
            // The control channel is one port higher.
            if port == u16::MAX || TcpListener::bind(("127.0.0.1", port + 1)).is_err() {
                continue;
            }
            drop(data);
            if let Some(child) = run(folder.path(), port) {
                return Self { folder, port, child };
            }
        }
        panic!("no swtpm came up");
    }

    /// As after a power cut.
    fn cut(&mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }

    fn start_again(&mut self) {
        self.child = run(self.folder.path(), self.port).expect("comes up again");
    }

    /// As after switching off and on. No store may be connected.
    fn restart_in_order(&mut self) {
        assert_eq!(self.ask(&SHUTDOWN), 0);
        self.cut();
        self.start_again();
    }

    /// The response code to a command. No store may be connected.
    fn ask(&self, command: &[u8]) -> u32 {
        let mut tpm = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        tpm.write_all(command).expect("sends");
        let mut answer = [0; 10];
        tpm.read_exact(&mut answer).expect("answers");
        u32::from_be_bytes(answer[6..].try_into().expect("four bytes"))
    }

    /// A dictionary-attack command with a lock-out authorisation.
    fn ask_lockout(&self, code: u8, auth: &[u8], parameters: &[u8]) -> u32 {
        let auth_len = u8::try_from(auth.len()).expect("short");
        let head = [0, 0, 1, code, 0x40, 0, 0, 0x0A, 0, 0, 0, 9 + auth_len, 0x40, 0, 0, 9, 0, 0, 0, 0, auth_len];
        let len = u8::try_from(6 + head.len() + auth.len() + parameters.len()).expect("short");
        self.ask(&[&[0x80, 0x02, 0, 0, 0, len], head.as_slice(), auth, parameters].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn storage(&self, name: &str) -> Arc<Storage> {
        Arc::new(Storage::open(&self.path(name)).expect("opens"))
    }

    fn line(&self) -> String {
        format!("tpm:swtpm:host=127.0.0.1,port={}", self.port)
    }

    fn open(&self, storage: &Arc<Storage>) -> Box<dyn KeyStore> {
        open(&self.line(), storage).expect("opens")
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reachable when it returns; `None` when the ports are taken.
fn run(folder: &Path, port: u16) -> Option<Child> {
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--log", "level=0"])
        .arg("--tpmstate")
        .arg(format!("dir={}", folder.join("state").display()))
        .args(["--server", &format!("type=tcp,bindaddr=127.0.0.1,port={port}")])
        .args(["--ctrl", &format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1)])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian's swtpm is installed");
    // It says nothing when its ports are open. What is sent before it listens to them waits.
    while TcpStream::connect(("127.0.0.1", port + 1)).is_err() {
        if child.try_wait().expect("waits").is_some() {
            return None;
        }
        std::thread::yield_now();
    }
    Some(child)
}

fn open(line: &str, storage: &Arc<Storage>) -> Result<Box<dyn KeyStore>, String> {
    let config: KeyConfig = line.parse().expect("a line");
    nodpay_keys::open(&config, storage).map_err(|error| error.to_string())
}

fn signs(keys: &dyn KeyStore) {
    let signature = keys.sign(b"nod").expect("signs");
    let public = keys.public_key();
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, public.as_bytes())
        .verify(b"nod", &signature)
        .expect("verifies");
}

fn set(keys: &mut dyn KeyStore, pin: &[u8]) {
    keys.pin_vault().expect("a vault").set(pin).expect("sets");
}

fn check(keys: &mut dyn KeyStore, pin: &[u8]) -> VaultAnswer {
    keys.pin_vault().expect("a vault").check(pin).expect("answers")
}

fn unlock(keys: &mut dyn KeyStore) -> Result<(), String> {
    keys.pin_vault().expect("a vault").unlock().map_err(|error| error.to_string())
}

fn lock(keys: &mut dyn KeyStore) {
    let answers: Vec<VaultAnswer> = (0..5).map(|_| check(keys, b"0000")).collect();
    assert_eq!(answers, [wrong(4), wrong(3), wrong(2), wrong(1), LOCKED]);
}

#[test]
fn a_key_is_made_signs_and_is_found_again() {
    let mut tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    let first = keys.public_key();
    signs(&*keys);
    drop(keys);
    tpm.restart_in_order();
    keys = tpm.open(&storage);
    assert_eq!(keys.public_key(), first);
    signs(&*keys);
    // The TPM starts again under the running watch.
    tpm.cut();
    assert!(keys.sign(b"nod").is_err(), "nobody is there");
    tpm.start_again();
    signs(&*keys);
    let old_file = storage.read("key.tpm").expect("reads").expect("is there");
    let second = keys.renew(&[7; 32]).expect("renews");
    assert_ne!(second, first);
    assert_eq!(keys.public_key(), second);
    signs(&*keys);
    drop(keys);
    keys = tpm.open(&storage);
    assert_eq!(keys.public_key(), second);
    signs(&*keys);
    assert_ne!(storage.read("key.tpm").expect("reads").expect("is there"), old_file);
    // Renewing many times leaves nothing behind in a TPM that has room for three objects.
    for _ in 0..5 {
        keys.renew(&[7; 32]).expect("renews");
    }
    signs(&*keys);
}

#[test]
fn a_key_that_cannot_be_written_down_does_not_replace_the_old_one() {
    let tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    let public = keys.public_key();
    let in_the_way = storage.path("key.tpm.new");
    fs::create_dir(&in_the_way).expect("a folder");
    for _ in 0..3 {
        keys.renew(&[7; 32]).expect_err("cannot be written down");
        assert_eq!(keys.public_key(), public);
        signs(&*keys);
    }
    fs::remove_dir(&in_the_way).expect("removes");
    assert_ne!(keys.renew(&[7; 32]).expect("renews"), public);
    signs(&*keys);
}

#[test]
fn another_tpm_cannot_use_the_key_and_broken_files_are_named() {
    let tpm = Tpm::start();
    let storage = tpm.storage("watch");
    drop(tpm.open(&storage));
    let refused = |line: &str| open(line, &storage).err().expect("refused");
    assert_eq!(refused(&Tpm::start().line()), "key.tpm is not of this TPM as it is now");
    let file = storage.read("key.tpm").expect("reads").expect("is there");
    for broken in [&file[1..], &file[..20], b"nodpay-tpm/1\xff\xff"] {
        storage.replace("key.tpm", broken).expect("writes");
        assert_eq!(refused(&tpm.line()), "key.tpm is not what a TPM gave this watch");
    }
    let mut changed = file.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    storage.replace("key.tpm", &changed).expect("writes");
    assert_eq!(refused(&tpm.line()), "key.tpm is not of this TPM as it is now");
    storage.replace("key.tpm", &file).expect("writes");
    signs(&*tpm.open(&storage));
}

#[test]
fn wrong_pins_lock_and_neither_reboot_nor_restored_files_unlock() {
    assert_eq!((MAX_TRIES, RECOVERY_S), (5, 600));
    let mut tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    let files = ["key.tpm", "pin.tpm", "lockout.tpm"];
    let kept = files.map(|name| storage.read(name).expect("reads").expect("is there"));
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    lock(&mut *keys);
    assert_eq!(check(&mut *keys, PIN), LOCKED, "the right PIN too");
    signs(&*keys);
    drop(keys);
    tpm.restart_in_order();
    keys = tpm.open(&storage);
    assert_eq!(check(&mut *keys, PIN), LOCKED);
    tpm.cut();
    tpm.start_again();
    assert_eq!(check(&mut *keys, PIN), LOCKED);
    signs(&*keys);
    for (name, bytes) in files.iter().zip(&kept) {
        storage.replace(name, bytes).expect("writes");
    }
    drop(keys);
    keys = tpm.open(&storage);
    assert_eq!(check(&mut *keys, PIN), LOCKED);
    unlock(&mut *keys).expect("unlocks");
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    lock(&mut *keys);
}

#[test]
fn nobody_else_may_reset_the_count() {
    let mut tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    lock(&mut *keys);
    drop(keys);
    let (reset, parameters) = (0x39, 0x3A);
    assert_ne!(tpm.ask_lockout(reset, b"", b""), 0, "the empty authorisation of a new TPM");
    assert_ne!(tpm.ask_lockout(parameters, b"", &[0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0]), 0);
    // A wrong one also bars ours, until the TPM starts again.
    keys = tpm.open(&storage);
    assert_eq!(check(&mut *keys, PIN), LOCKED);
    unlock(&mut *keys).expect_err("barred");
    drop(keys);
    tpm.restart_in_order();
    keys = tpm.open(&storage);
    unlock(&mut *keys).expect("unlocks");
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
}

#[test]
fn a_right_pin_gives_the_tries_back_and_power_cuts_do_not_lock() {
    let mut tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    for _ in 0..3 {
        assert_eq!([wrong(4), wrong(3)], [check(&mut *keys, b"0000"), check(&mut *keys, b"7390")]);
        assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    }
    // A TPM that lost its power after a PIN counts that as a wrong try.
    for _ in 0..7 {
        assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
        tpm.cut();
        tpm.start_again();
    }
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    assert_eq!(check(&mut *keys, b"0000"), wrong(4));
}

#[test]
fn a_pin_is_changed_and_forgotten() {
    let tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let mut keys = tpm.open(&storage);
    let no_pin = |keys: &mut dyn KeyStore| {
        let refused = keys.pin_vault().expect("a vault").check(PIN).expect_err("refused");
        assert_eq!(refused.to_string(), "the key store failed: no PIN is set in the TPM");
    };
    no_pin(&mut *keys);
    set(&mut *keys, PIN);
    lock(&mut *keys);
    // A new PIN starts with all its tries.
    set(&mut *keys, &[1, 2, 3, 0]);
    assert_eq!(check(&mut *keys, PIN), wrong(4));
    // TPMs take authorisations for the same that differ in zeros at the end.
    assert_eq!(check(&mut *keys, &[1, 2, 3]), wrong(3));
    assert_eq!(check(&mut *keys, &[1, 2, 3, 0, 0]), wrong(2));
    assert_eq!(check(&mut *keys, &[1, 2, 3, 0]), VaultAnswer::Right);
    // What is sealed under no PIN is no PIN's object.
    let pin = storage.read("pin.tpm").expect("reads").expect("is there");
    let lockout = storage.read("lockout.tpm").expect("reads").expect("is there");
    storage.replace("pin.tpm", &lockout).expect("writes");
    keys.pin_vault().expect("a vault").check(PIN).expect_err("an object that does not count tries");
    storage.replace("pin.tpm", &pin).expect("writes");
    assert_eq!(check(&mut *keys, &[1, 2, 3, 0]), VaultAnswer::Right);
    // A PIN that cannot be written down leaves the old one.
    fs::create_dir(storage.path("pin.tpm.new")).expect("a folder");
    keys.pin_vault().expect("a vault").set(PIN).expect_err("cannot be written down");
    assert_eq!(check(&mut *keys, &[1, 2, 3, 0]), VaultAnswer::Right);
    fs::remove_dir(storage.path("pin.tpm.new")).expect("removes");
    keys.pin_vault().expect("a vault").clear().expect("forgets");
    no_pin(&mut *keys);
    drop(keys);
    no_pin(&mut *tpm.open(&storage));
}

#[test]
fn a_power_cut_while_taking_the_lockout_authorisation_loses_nothing() {
    let mut tpm = Tpm::start();
    let storage = tpm.storage("watch");
    let state = tpm.path("state/tpm2-00.permall");
    drop(tpm.open(&storage));
    tpm.restart_in_order();
    let before = fs::read(&state).expect("reads");
    let mut keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    drop(keys);
    // The folder has the authorisation and the TPM does not know it yet.
    tpm.cut();
    fs::write(&state, before).expect("writes");
    tpm.start_again();
    let lockout = storage.read("lockout.tpm").expect("reads").expect("is there");
    keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    assert_eq!(storage.read("lockout.tpm").expect("reads").expect("is there"), lockout);
    lock(&mut *keys);
    unlock(&mut *keys).expect("unlocks");
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
}

#[test]
fn a_lockout_authorisation_of_the_maker_is_used_and_one_of_somebody_else_is_left_alone() {
    let tpm = Tpm::start();
    let secret = tpm.path("lockout");
    fs::write(&secret, "makers secret\n").expect("writes");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("closes");
    let storage = tpm.storage("maker");
    let line = format!("{}?lockout={}", tpm.line(), secret.display());
    let mut keys = open(&line, &storage).expect("opens");
    set(&mut *keys, PIN);
    assert_eq!(storage.read("lockout.tpm").expect("reads"), None);
    lock(&mut *keys);
    unlock(&mut *keys).expect("unlocks");
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    drop(keys);

    let storage = tpm.storage("other");
    let mut keys = tpm.open(&storage);
    set(&mut *keys, PIN);
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    assert_eq!(check(&mut *keys, b"0000"), wrong(4));
    assert_eq!(check(&mut *keys, PIN), VaultAnswer::Right);
    assert_eq!(check(&mut *keys, b"0000"), wrong(3), "only time gives tries back");
    let refused = unlock(&mut *keys).expect_err("is not ours");
    assert!(refused.contains("authorisation is not this watch's"), "{refused}");
    assert_eq!([wrong(2), wrong(1), LOCKED], [(); 3].map(|()| check(&mut *keys, b"0000")));
    drop(keys);

    // Rules under which tries do not count are no rules for a PIN.
    assert_eq!(tpm.ask_lockout(0x3A, b"makers secret", &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
    let mut keys = tpm.open(&storage);
    let refused = keys.pin_vault().expect("a vault").set(PIN).expect_err("refused").to_string();
    assert!(refused.contains("switched off"), "{refused}");
}
