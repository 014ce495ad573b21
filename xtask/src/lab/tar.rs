//! Writes tar archives (ustar), the same bytes for the same content: enough for image layers.

/// What one entry is.
pub(crate) enum Kind<'a> {
    /// A file with its content.
    File(&'a [u8]),
    /// A symbolic link and where it points.
    Link(&'a str),
    /// A folder.
    Folder,
}

const BLOCK: usize = 512;

/// An archive that is being written, in memory: the lab's images are small.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds an entry; `path` must be shorter than 100 bytes.
    pub(crate) fn add(&mut self, path: &str, mode: u32, kind: &Kind<'_>) {
        let (flag, link, content): (u8, &str, &[u8]) = match kind {
            Kind::File(content) => (b'0', "", content),
            Kind::Link(target) => (b'2', target, b""),
            Kind::Folder => (b'5', "", b""),
        };
        self.bytes
            .extend(header(path, mode, flag, link, content.len()));
        self.bytes.extend(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

/// One header block. Owner, group and time are zero.
fn header(path: &str, mode: u32, flag: u8, link: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, path);
    put(&mut block, 100, &format!("{mode:07o}"));
    put(&mut block, 108, "0000000");
    put(&mut block, 116, "0000000");
    put(&mut block, 124, &format!("{size:011o}"));
    put(&mut block, 136, "00000000000");
    put(&mut block, 148, "        ");
    put(&mut block, 156, std::str::from_utf8(&[flag]).unwrap_or("0"));
    put(&mut block, 157, link);
    put(&mut block, 257, "ustar");
    put(&mut block, 263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, &format!("{sum:06o}\0 "));
    block
}

/// Copies a text into a header.
fn put(block: &mut [u8; BLOCK], at: usize, text: &str) {
    for (to, from) in block.iter_mut().skip(at).zip(text.bytes()) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tar_itself_reads_what_was_written() {
        let mut archive = Archive::default();
        archive.add("bin/", 0o755, &Kind::Folder);
        archive.add("bin/hello", 0o755, &Kind::File(b"hi there"));
        archive.add("bin/sh", 0o777, &Kind::Link("hello"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tar"), archive.finish()).unwrap();
        let status = Command::new("tar")
            .args(["-xf", "a.tar"])
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success());
        let read = std::fs::read_to_string(folder.path().join("bin/sh")).unwrap();
        assert_eq!(read, "hi there");
    }
}
