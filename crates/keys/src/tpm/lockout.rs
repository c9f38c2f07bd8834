//! The two dictionary-attack commands that the library does not have (TPM 2.0 Library part 3, section 25), as bytes over a
//! channel of their own. The TPM is one user's at a time: close the library's connection first.
//!
//! The authorisation goes to the TPM as it is, not in an encrypted session: who can listen there can reach the TPM, and
//! needs no authorisation to have it unsealed.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use zeroize::Zeroizing;

use super::TpmError;
use crate::Tcti;

/// TPM_ST_SESSIONS: a command with an authorisation area.
const TAG_SESSIONS: [u8; 2] = [0x80, 0x02];
/// TPM_CC_DictionaryAttackLockReset.
const LOCK_RESET: [u8; 4] = [0, 0, 1, 0x39];
/// TPM_CC_DictionaryAttackParameters.
const PARAMETERS: [u8; 4] = [0, 0, 1, 0x3A];
/// TPM_RH_LOCKOUT.
const LOCKOUT: [u8; 4] = [0x40, 0, 0, 0x0A];
/// TPM_RS_PW: the authorisation itself is in the authorisation area.
const PASSWORD_SESSION: [u8; 4] = [0x40, 0, 0, 0x09];
/// Tag, size, response code.
const HEADER_LEN: usize = 10;
/// A software TPM on the network that is silent for longer is not there.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How the TPM counts wrong authorisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) max_tries: u32,
    /// Until one try is given back.
    pub(super) recovery_s: u32,
    /// Until a wrong lock-out authorisation is forgiven; 0 is until the TPM starts again.
    pub(super) lockout_recovery_s: u32,
}

/// Forgets the wrong tries.
pub(super) fn reset(tcti: &Tcti, auth: &[u8]) -> Result<(), TpmError> {
    send(tcti, &command(LOCK_RESET, auth, &[])?)
}

/// Sets how wrong tries count.
pub(super) fn set_parameters(tcti: &Tcti, auth: &[u8], parameters: Parameters) -> Result<(), TpmError> {
    let Parameters { max_tries, recovery_s, lockout_recovery_s } = parameters;
    let numbers = [max_tries, recovery_s, lockout_recovery_s].map(u32::to_be_bytes).concat();
    send(tcti, &command(PARAMETERS, auth, &numbers)?)
}

fn command(code: [u8; 4], auth: &[u8], parameters: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    // Session, no nonce, no attributes, the authorisation.
    let auth_len = u16::try_from(auth.len()).map_err(|_| TpmError::Auth)?.to_be_bytes();
    let area_len = u32::from(u16::from_be_bytes(auth_len)) + 9;
    let area_len = area_len.to_be_bytes();
    let session = [PASSWORD_SESSION.as_slice(), &[0, 0], &[0], &auth_len, auth];
    let body = [[code.as_slice(), &LOCKOUT, &area_len].as_slice(), &session, &[parameters]].concat();
    let body = Zeroizing::new(body.concat());
    let size = u32::try_from(TAG_SESSIONS.len() + 4 + body.len()).map_err(|_| TpmError::Auth)?.to_be_bytes();
    Ok(Zeroizing::new([&TAG_SESSIONS, size.as_slice(), &body].concat()))
}

fn send(tcti: &Tcti, command: &[u8]) -> Result<(), TpmError> {
    let answer = match tcti {
        Tcti::Device(path) => OpenOptions::new().read(true).write(true).open(path).and_then(|tpm| ask(tpm, command)),
        Tcti::Swtpm { host, port } => TcpStream::connect((host.as_str(), *port)).and_then(|tpm| {
            tpm.set_read_timeout(Some(ANSWER_LIMIT))?;
            ask(tpm, command)
        }),
    };
    match u32::from_be_bytes(answer.map_err(TpmError::Channel)?) {
        0 => Ok(()),
        code => Err(TpmError::Refused(code)),
    }
}

/// The response code.
fn ask(mut tpm: impl Read + Write, command: &[u8]) -> io::Result<[u8; 4]> {
    tpm.write_all(command)?;
    // A device gives the whole answer to one read and refuses a second one, so all of it is asked for.
    let mut answer = [0; 4096];
    let mut len = 0;
    while len < HEADER_LEN {
        match tpm.read(answer.get_mut(len..).unwrap_or_default())? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => len += more,
        }
    }
    let code = answer.first_chunk::<HEADER_LEN>().and_then(|header| header.last_chunk::<4>());
    code.copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_laid_out_as_the_library_specification_says() {
        let reset = command(LOCK_RESET, b"ab", &[]).expect("short");
        let expected = [
            0x80, 0x02, 0, 0, 0, 0x1D, 0, 0, 1, 0x39, 0x40, 0, 0, 0x0A, 0, 0, 0, 11, 0x40, 0, 0, 9, 0, 0, 0, 0, 2,
            b'a', b'b',
        ];
        assert_eq!(reset.as_slice(), expected);
    }
}
