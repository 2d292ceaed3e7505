//! Lines of a growing file, from a position on, through rotations.

use serde::Deserialize;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader};

/// What stands in the ConfigMap.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    pub path: PathBuf,
    #[serde(default = "text_plain")]
    pub content_type: String,
}

fn text_plain() -> String {
    "text/plain; charset=utf-8".to_string()
}

pub fn parse(text: &[u8]) -> Result<Config, String> {
    serde_norway::from_slice(text).map_err(|fault| fault.to_string())
}

/// Behind a line: which file, and how far. A file that was rotated keeps its inode under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub inode: u64,
    pub offset: u64,
}

impl Position {
    pub fn parse(bytes: &[u8]) -> Option<Position> {
        let (inode, offset) = std::str::from_utf8(bytes).ok()?.split_once(':')?;
        Some(Position { inode: inode.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(out, "{}:{}", self.inode, self.offset)
    }
}

pub struct Line {
    pub text: Vec<u8>,
    /// Where it begins: its identity.
    pub start: Position,
    /// Where to go on behind it.
    pub end: Position,
}

pub struct Tail {
    path: PathBuf,
    file: BufReader<File>,
    at: Position,
    partial: Vec<u8>,
}

/// The name that logrotate gives a file first.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

async fn open(path: &Path, position: Option<Position>) -> std::io::Result<(BufReader<File>, Position)> {
    let mut file = File::open(path).await?;
    let found = file.metadata().await?;
    let at = match position {
        // a file that is shorter than it was has been emptied
        Some(position) if position.inode == found.ino() && position.offset <= found.len() => position,
        _ => Position { inode: found.ino(), offset: 0 },
    };
    file.seek(SeekFrom::Start(at.offset)).await?;
    Ok((BufReader::new(file), at))
}

impl Tail {
    /// Without a position from the beginning of the file. With one that a rotation has moved, first the rest of the old file.
    pub async fn open(path: &Path, position: Option<Position>) -> std::io::Result<Tail> {
        if let Some(position) = position {
            if let Ok((file, at)) = open(&rotated(path), Some(position)).await {
                if at.inode == position.inode {
                    return Ok(Tail { path: path.to_owned(), file, at, partial: Vec::new() });
                }
            }
        }
        let (file, at) = open(path, position).await?;
        Ok(Tail { path: path.to_owned(), file, at, partial: Vec::new() })
    }

    /// The next whole line; None: there is none now.
    pub async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            self.file.read_until(b'\n', &mut self.partial).await?;
            if self.partial.last() == Some(&b'\n') {
                let mut text = std::mem::take(&mut self.partial);
                let start = self.at;
                self.at.offset += text.len() as u64;
                text.pop();
                return Ok(Some(Line { text, start, end: self.at }));
            }
            if !self.follow().await? {
                return Ok(None);
            }
        }
    }

    /// At the end of the file: is there another one under its name, or was it emptied? Then that one.
    async fn follow(&mut self) -> std::io::Result<bool> {
        let now = match tokio::fs::metadata(&self.path).await {
            Ok(now) => now,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(false), // in the midst of a rotation
            Err(fault) => return Err(fault),
        };
        if now.ino() == self.at.inode && now.len() >= self.at.offset {
            return Ok(false);
        }
        (self.file, self.at) = open(&self.path, None).await?;
        self.partial.clear(); // half a line that nobody will end
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn lines(tail: &mut Tail) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(line) = tail.next().await.unwrap() {
            found.push(String::from_utf8(line.text).unwrap());
        }
        found
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn lines_are_followed_through_rotation_and_truncation() {
        let folder = std::env::temp_dir().join(format!("tail-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        append(&path, "a\nb\nhal");
        let mut tail = Tail::open(&path, None).await.unwrap();
        assert_eq!(lines(&mut tail).await, ["a", "b"]);
        append(&path, "f\n");
        assert_eq!(lines(&mut tail).await, ["half"]);
        let kept = tail.at;
        append(&path, "late\n");
        std::fs::rename(&path, rotated(&path)).unwrap();
        append(&path, "new\n");
        assert_eq!(lines(&mut tail).await, ["late", "new"]);
        let mut again = Tail::open(&path, Some(kept)).await.unwrap();
        assert_eq!(lines(&mut again).await, ["late", "new"]);
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(lines(&mut tail).await, ["x"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn positions_and_configurations_are_read() {
        let position = Position { inode: 7, offset: 12 };
        assert_eq!(Position::parse(position.to_string().as_bytes()), Some(position));
        assert_eq!(Position::parse(b"rubbish"), None);
        assert!(parse(b"path: /var/log/x\ncontentType: a/b").is_ok());
        assert!(parse(b"pat: /var/log/x").unwrap_err().contains("pat"));
        assert!(parse(b"").is_err());
    }
}
