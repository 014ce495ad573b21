//! Values on the command line that need words of their own when they are wrong.

use std::net::SocketAddr;

/// `--seed`.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse();
    seed.map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

/// `--listen`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse();
    address.map_err(|_| {
        "an IP address and a port are needed, for example 127.0.0.1:16443; port 0 chooses a free one"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_words() {
        assert_eq!(seed("7"), Ok(7));
        assert!(seed("x").unwrap_err().contains("whole number"));
        assert!(address("127.0.0.1:0").is_ok());
        assert!(address("localhost:0").unwrap_err().contains("IP address"));
    }
}
