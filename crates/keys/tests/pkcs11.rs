//! The PKCS#11 store on SoftHSM2. The module reads its configuration from the environment when it is first used, so this
//! program makes a token in a folder of its own and runs itself again with that.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use nodpay_keys::KeyConfig;
use nodpay_keys::storage::Storage;
use nodpay_watch::KeyStore;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "2718-watch";
/// Set in the second run: the folder with the token.
const FOLDER: &str = "NODPAY_TEST_TOKEN";

fn main() -> ExitCode {
    match std::env::var_os(FOLDER) {
        Some(folder) => {
            all(&PathBuf::from(folder));
            ExitCode::SUCCESS
        }
        None => run_again(),
    }
}

fn run_again() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("softhsm2.conf");
    std::fs::create_dir(folder.path().join("tokens")).expect("a folder");
    let lines = format!("directories.tokendir = {}/tokens\nlog.level = ERROR\n", folder.path().display());
    std::fs::write(&config, lines).expect("writes");
    for label in ["watch", "other"] {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--so-pin", "31415926", "--pin", PIN])
            .env("SOFTHSM2_CONF", &config)
            .output()
            .expect("Debian's softhsm2 is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let program = std::env::current_exe().expect("this program");
    let run = Command::new(program).env("SOFTHSM2_CONF", &config).env(FOLDER, folder.path()).status().expect("runs");
    if run.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Test = fn(&Token);

fn all(folder: &Path) {
    let tests: [(&str, Test); 6] = [
        ("a_key_is_made_signs_and_is_found_again", a_key_is_made_signs_and_is_found_again),
        ("the_key_cannot_leave_the_token", the_key_cannot_leave_the_token),
        ("what_a_power_cut_left_is_removed_and_the_key_in_use_works", what_a_power_cut_left_is_removed),
        ("a_key_that_cannot_be_written_down_does_not_replace_the_old_one", a_key_that_cannot_be_written_down),
        ("a_lost_session_is_opened_again", a_lost_session_is_opened_again),
        ("what_is_missing_is_named_and_no_pin_is_told", what_is_missing_is_named_and_no_pin_is_told),
    ];
    let token = Token::new(folder);
    for (name, test) in tests {
        test(&token);
        println!("test {name} ... ok");
    }
}

/// The token as somebody else with its PIN sees it.
struct Token {
    folder: PathBuf,
    module: Pkcs11,
}

impl Token {
    fn new(folder: &Path) -> Self {
        let pin = folder.join("pin");
        write_private(&pin, &format!("{PIN}\n"));
        let module = Pkcs11::new(MODULE).expect("loads");
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("starts");
        Self { folder: folder.to_owned(), module }
    }

    fn line(&self, object: &str) -> String {
        let pin = self.folder.join("pin");
        format!("pkcs11:token=watch;object={object}?module-path={MODULE}&pin-source=file:{}", pin.display())
    }

    fn storage(&self, name: &str) -> Arc<Storage> {
        Arc::new(Storage::open(&self.folder.join(name)).expect("opens"))
    }

    fn session(&self) -> Session {
        let slots = self.module.get_slots_with_initialized_token().expect("slots");
        let watch = |slot: &_| self.module.get_token_info(*slot).expect("a token").label() == "watch";
        let slot = slots.into_iter().find(watch).expect("the token");
        let session = self.module.open_rw_session(slot).expect("a session");
        match session.login(UserType::User, Some(&AuthPin::from(PIN))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
            Err(error) => panic!("{error}"),
        }
    }

    /// How many private keys have this label.
    fn keys(&self, object: &str) -> usize {
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(object.into())];
        self.session().find_objects(&wanted).expect("finds").len()
    }

    fn generate(&self, object: &str, id: [u8; 16], extractable: bool) {
        let named = |more: &[Attribute]| {
            let named = [Attribute::Token(true), Attribute::Label(object.into()), Attribute::Id(id.into())];
            [named.as_slice(), more].concat()
        };
        let p256 = vec![0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
        let public = named(&[Attribute::EcParams(p256)]);
        let private = named(&[Attribute::Sensitive(!extractable), Attribute::Extractable(extractable)]);
        self.session().generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).expect("makes");
    }
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("writes");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("closes");
}

fn open(line: &str, storage: &Arc<Storage>) -> Result<Box<dyn KeyStore>, String> {
    let config: KeyConfig = line.parse().expect("a line");
    nodpay_keys::open(&config, storage).map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    })
}

/// The signature verifies; otherwise the store itself refuses.
fn signs(keys: &dyn KeyStore) {
    let signature = keys.sign(b"nod").expect("signs");
    let public = keys.public_key();
    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, public.as_bytes())
        .verify(b"nod", &signature)
        .expect("verifies");
}

fn a_key_is_made_signs_and_is_found_again(token: &Token) {
    let storage = token.storage("made");
    let mut keys = open(&token.line("made"), &storage).expect("makes a key");
    let first = keys.public_key();
    signs(&*keys);
    assert!(keys.pin_vault().is_none());
    drop(keys);
    let mut keys = open(&token.line("made"), &storage).expect("finds it");
    assert_eq!(keys.public_key(), first);
    let second = keys.renew(&[7; 32]).expect("renews");
    assert_ne!(second, first);
    assert_eq!(keys.public_key(), second);
    signs(&*keys);
    assert_eq!(token.keys("made"), 1, "the old one is removed");
    drop(keys);
    let keys = open(&token.line("made"), &storage).expect("finds it");
    assert_eq!(keys.public_key(), second);
    signs(&*keys);
}

fn the_key_cannot_leave_the_token(token: &Token) {
    let storage = token.storage("leave");
    let keys = open(&token.line("leave"), &storage).expect("makes a key");
    let session = token.session();
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label("leave".into())];
    let key = session.find_objects(&wanted).expect("finds")[0];
    let value = session.get_attributes(key, &[AttributeType::Value]);
    assert!(value.is_ok_and(|value| value.is_empty()), "the token gives no scalar");
    drop(keys);
    // A key that could leave is not taken, even if it is named.
    token.generate("leave", [3; 16], true);
    let names = storage.read("key.pkcs11").expect("reads").expect("is there");
    storage.replace("key.pkcs11", format!("current {}\n", "03".repeat(16)).as_bytes()).expect("writes");
    let refused = open(&token.line("leave"), &storage).err().expect("refused");
    assert!(refused.contains("would give the key 0303"), "{refused}");
    storage.replace("key.pkcs11", &names).expect("writes");
    assert!(open(&token.line("leave"), &storage).is_ok());
}

fn what_a_power_cut_left_is_removed(token: &Token) {
    let storage = token.storage("cut");
    let keys = open(&token.line("cut"), &storage).expect("makes a key");
    let public = keys.public_key();
    drop(keys);
    // Announced and made, announced and not made.
    token.generate("cut", [4; 16], false);
    let names = String::from_utf8(storage.read("key.pkcs11").expect("reads").expect("is there")).expect("text");
    let cut = format!("{names}unused {}\nunused {}\n", "04".repeat(16), "05".repeat(16));
    storage.replace("key.pkcs11", cut.as_bytes()).expect("writes");
    // Of somebody else, with the same label: never touched.
    token.generate("cut", [6; 16], false);
    assert_eq!(token.keys("cut"), 3);
    let keys = open(&token.line("cut"), &storage).expect("finds it");
    assert_eq!(keys.public_key(), public);
    signs(&*keys);
    assert_eq!(token.keys("cut"), 2);
    assert_eq!(storage.read("key.pkcs11").expect("reads").expect("is there"), names.as_bytes());
    drop(keys);
    // Before the very first key was taken into use.
    let storage = token.storage("first cut");
    token.generate("first", [8; 16], false);
    storage.replace("key.pkcs11", format!("unused {}\n", "08".repeat(16)).as_bytes()).expect("writes");
    signs(&*open(&token.line("first"), &storage).expect("makes a key"));
    assert_eq!(token.keys("first"), 1);
}

fn a_key_that_cannot_be_written_down(token: &Token) {
    let storage = token.storage("full");
    let mut keys = open(&token.line("full"), &storage).expect("makes a key");
    let public = keys.public_key();
    // A folder where the new file is to be written: every write fails.
    let in_the_way = storage.path("key.pkcs11.new");
    std::fs::create_dir(&in_the_way).expect("a folder");
    keys.renew(&[7; 32]).expect_err("cannot be written down");
    assert_eq!((keys.public_key(), token.keys("full")), (public, 1));
    signs(&*keys);
    std::fs::remove_dir(&in_the_way).expect("removes");
    assert_ne!(keys.renew(&[7; 32]).expect("renews"), public);
    signs(&*keys);
    assert_eq!(token.keys("full"), 1);
}

fn a_lost_session_is_opened_again(token: &Token) {
    let storage = token.storage("lost");
    let mut keys = open(&token.line("lost"), &storage).expect("makes a key");
    let log_out = || token.session().logout().expect("logs the whole process out");
    log_out();
    signs(&*keys);
    log_out();
    keys.renew(&[7; 32]).expect("renews");
    signs(&*keys);
    // With the PIN file gone there is no way back in, and with it there is.
    let pin = token.folder.join("pin");
    std::fs::rename(&pin, token.folder.join("away")).expect("moves");
    signs(&*keys);
    log_out();
    let error = keys.sign(b"nod").expect_err("is logged out").to_string();
    assert!(error.contains("/pin could not be read"), "{error}");
    std::fs::rename(token.folder.join("away"), &pin).expect("moves back");
    signs(&*keys);
}

fn what_is_missing_is_named_and_no_pin_is_told(token: &Token) {
    let storage = token.storage("missing");
    let refused = |line: &str| open(line, &storage).err().expect("refused");
    let line = token.line("missing");
    assert!(refused(&line.replace("token=watch", "token=none")).contains("no PKCS#11 token as configured"));
    assert!(refused(&line.replace("token=watch;", "")).contains("2 PKCS#11 tokens are as configured"));
    assert!(refused(&line.replace("token=watch", "serial=1")).contains("no PKCS#11 token as configured"));
    assert!(refused(&line.replace(MODULE, "/nowhere.so")).contains("/nowhere.so"));
    storage.replace("key.pkcs11", format!("current {}\n", "0a".repeat(16)).as_bytes()).expect("writes");
    assert!(refused(&line).contains("no key 0a0a"));
    storage.replace("key.pkcs11", b"current 1\n").expect("writes");
    assert!(refused(&line).contains("not a list of keys"));
    storage.replace("key.pkcs11", b"").expect("writes");
    let keys = open(&line, &storage).expect("makes a key");
    drop(keys);
    let pin = token.folder.join("pin");
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o640)).expect("opens up");
    assert!(refused(&line).contains("others may read or change"));
    write_private(&pin, "9999-wrong");
    let wrong = refused(&line);
    assert!(wrong.contains("PIN") && !wrong.contains("9999"), "{wrong}");
    write_private(&pin, PIN);
    assert!(open(&line, &storage).is_ok());
}
