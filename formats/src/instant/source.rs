//! The files of a backup, in a directory or packed in a zip file.
//!
//! A packed file is unpacked while it is read, from its own handle, so that an importer can own its
//! reader. Its size and checksum are compared at its end; a size that no text packs down to is
//! refused before a byte is unpacked.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{ENTITIES, TABLE_ENDING};
use crate::error::{FormatError, Place};

/// Text of entities packs to a fifth or tenth; this is far beyond.
const RATIO_MAX: u64 = 200;

/// Below this size any ratio is harmless.
const SMALL_BYTES: u64 = 1 << 20;

/// The largest `config.json`.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// The files of a backup.
pub(super) struct Source {
    path: PathBuf,
    /// None for a directory.
    is_zip: bool,
    config: Entry,
    /// Tables, by name.
    pub(super) tables: Vec<Entry>,
    /// How many files beside them are not read.
    pub(super) n_files: u64,
}

/// One file.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// From the root of the backup.
    pub(super) name: String,
    /// Unpacked.
    pub(super) n_bytes: u64,
    packed: Option<Packed>,
}

#[derive(Debug, Clone)]
struct Packed {
    start: u64,
    n_bytes: u64,
    is_deflated: bool,
    crc: u32,
}

impl Entry {
    /// The table that it holds.
    pub(super) fn table(&self) -> Option<&str> {
        let name = self.name.strip_prefix(ENTITIES)?.strip_suffix(TABLE_ENDING)?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Source, FormatError> {
        let is_zip = !path.is_dir();
        let mut entries = if is_zip { packed_entries(path)? } else { entries(path)? };
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let is_config = |entry: &Entry| entry.name == "config.json";
        let Some(config) = entries.iter().position(is_config).map(|index| entries.remove(index))
        else {
            let given = path.display().to_string();
            let wanted = "a backup with a config.json at its root";
            return Err(FormatError::WrongInput { format: "instant", wanted, given });
        };
        let n_entries = entries.len();
        entries.retain(|entry| entry.table().is_some());
        let n_files = (n_entries - entries.len()) as u64;
        Ok(Source { path: path.to_owned(), is_zip, config, tables: entries, n_files })
    }

    /// The text of `config.json`.
    pub(super) fn config(&self) -> Result<Vec<u8>, FormatError> {
        let at = self.place(&self.config);
        let mut bytes = Vec::new();
        let reader = self.read(&self.config)?;
        let n_read = reader.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes);
        let n_read = n_read.map_err(|source| FormatError::Io { at: at.clone(), source })?;
        if n_read as u64 > CONFIG_BYTES_MAX {
            return Err(FormatError::LineTooLong { at, n_bytes_max: CONFIG_BYTES_MAX as usize });
        }
        Ok(bytes)
    }

    /// What errors call a file.
    pub(super) fn place(&self, entry: &Entry) -> Place {
        Place::path(&self.path.join(&entry.name))
    }

    /// A reader of a file.
    pub(super) fn read(&self, entry: &Entry) -> Result<Box<dyn BufRead + Send>, FormatError> {
        let failed = |source| FormatError::Io { at: self.place(entry), source };
        let path = if self.is_zip { self.path.clone() } else { self.path.join(&entry.name) };
        let mut file = File::open(path).map_err(failed)?;
        let Some(packed) = &entry.packed else {
            return Ok(Box::new(BufReader::with_capacity(1 << 16, file)));
        };
        file.seek(SeekFrom::Start(packed.start)).map_err(failed)?;
        let bytes = BufReader::with_capacity(1 << 16, file.take(packed.n_bytes));
        let reader: Box<dyn Read + Send> = match packed.is_deflated {
            true => Box::new(DeflateDecoder::new(bytes)),
            false => Box::new(bytes),
        };
        let checked =
            Checked { reader, n_bytes_left: entry.n_bytes, crc: Crc::new(), wanted: packed.crc };
        Ok(Box::new(BufReader::with_capacity(1 << 16, checked)))
    }
}

fn entries(root: &Path) -> Result<Vec<Entry>, FormatError> {
    let failed = |source| FormatError::Io { at: Place::path(root), source };
    let mut entries = Vec::new();
    for folder in ["", ENTITIES, "files/"] {
        let path = root.join(folder);
        if !path.is_dir() {
            continue;
        }
        for file in fs::read_dir(path).map_err(failed)? {
            let file = file.map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if let (true, Ok(name)) = (metadata.is_file(), file.file_name().into_string()) {
                let name = format!("{folder}{name}");
                entries.push(Entry { name, n_bytes: metadata.len(), packed: None });
            }
        }
    }
    Ok(entries)
}

fn packed_entries(path: &Path) -> Result<Vec<Entry>, FormatError> {
    let at = || Place::path(path);
    let failed = |source| FormatError::Io { at: at(), source };
    let damaged = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(source) => failed(source),
        other => FormatError::malformed(at(), "input_damaged", format!("no zip file: {other}")),
    };
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(damaged)?.into_owned();
        let refuse = |code, message| Err(FormatError::malformed(at(), code, message));
        if entry.encrypted() {
            return refuse("input_damaged", format!("{name} is encrypted"));
        }
        let is_deflated = match entry.compression() {
            CompressionMethod::Deflated => true,
            CompressionMethod::Stored => false,
            other => return refuse("input_damaged", format!("{name} is packed by {other}")),
        };
        let (n_packed, n_bytes) = (entry.compressed_size(), entry.size());
        if n_bytes > SMALL_BYTES && n_bytes / RATIO_MAX > n_packed {
            let message = format!("{name} claims {n_bytes} bytes out of {n_packed}: no text does");
            return refuse("zip_bomb", message);
        }
        let Some(start) = entry.data_start() else {
            return refuse("input_damaged", format!("{name} has no place in the file"));
        };
        let packed = Some(Packed { start, n_bytes: n_packed, is_deflated, crc: entry.crc32() });
        entries.push(Entry { name, n_bytes, packed });
    }
    Ok(entries)
}

/// Bytes that must be as many, and sum up, as the archive says.
struct Checked {
    reader: Box<dyn Read + Send>,
    n_bytes_left: u64,
    crc: Crc,
    wanted: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
        let n_read = self.reader.read(buffer)?;
        let Some(n_bytes_left) = self.n_bytes_left.checked_sub(n_read as u64) else {
            return damaged("the packed file is larger than the archive says");
        };
        self.n_bytes_left = n_bytes_left;
        self.crc.update(&buffer[..n_read]);
        if n_read == 0 && !buffer.is_empty() {
            if self.n_bytes_left > 0 {
                return damaged("the packed file is smaller than the archive says");
            }
            if self.crc.sum() != self.wanted {
                return damaged("the packed file does not have the checksum of the archive");
            }
        }
        Ok(n_read)
    }
}
