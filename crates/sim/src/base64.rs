//! Base64 (RFC 4648), for kubeconfigs and Secrets.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The usual alphabet, with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * position) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().map_or('=', char::from);
            text.push(if position <= group.len() { letter } else { '=' });
        }
    }
    text
}

/// The place of the first byte that is no base64. The message is Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub(crate) struct BadBase64(usize);

/// Is it what [`encode`] writes? Line ends are nothing, as for Go.
pub(crate) fn check(text: &str) -> Result<(), BadBase64> {
    let bytes = || text.bytes().enumerate();
    let letters = || bytes().filter(|(_, one)| !matches!(one, b'\r' | b'\n'));
    let padding = letters().rev().take_while(|(_, one)| *one == b'=').count();
    let length = letters().count();
    let mut body = letters().take(length.saturating_sub(padding.min(2)));
    if let Some((at, _)) = body.find(|(_, one)| !ALPHABET.contains(one)) {
        return Err(BadBase64(at));
    }
    if length % 4 == 0 {
        Ok(())
    } else {
        Err(BadBase64(text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        for (length, vector) in vectors.iter().enumerate() {
            assert_eq!(encode(&b"foobar"[..length]), *vector);
            assert_eq!(check(vector), Ok(()));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused_with_its_place() {
        for (text, at) in [("%%", 0), ("Zm9v!mFy", 4), ("Zg=", 3), ("Z===", 1)] {
            assert_eq!(check(text), Err(BadBase64(at)), "{text}");
        }
    }
}
