//! Pages to measure web servers with.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cpio::Archive;
use crate::mutate::Random;
use crate::site::Certificate;
use crate::tools::Tools;

/// Of the small page: what nginx comes with.
const PAGE: usize = 612;
/// Of the large file.
const FILE: usize = 1 << 20;
/// Where they are in nginx' guest.
const PLACE: &str = "www";

/// nginx as Debian has it, but that one process serves, as many requests on a connection as there are, and writes no log.
const CONFIG: &str = "daemon off;
master_process off;
worker_processes 1;
user root;
pid /nginx.pid;
error_log stderr;
events { worker_connections 2048; }
http {
    types { text/html html; application/octet-stream bin; }
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    keepalive_timeout 3600;
    access_log off;
    server { listen 80 backlog=1024; root /www; }
";
/// And with TLS, where there is a certificate.
const TLS: &str = "    server {
        listen 443 ssl backlog=1024;
        root /www;
        ssl_certificate /etc/cert.pem;
        ssl_certificate_key /etc/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache builtin:1000;
    }
";

/// A page of 612 bytes at `index.html`, and a file of 1 MiB at `1m.bin`.
pub struct Pages {
    page: Vec<u8>,
    file: Vec<u8>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Pages {
    /// The same each time.
    #[must_use]
    pub fn new() -> Self {
        const HEAD: &str = "<!DOCTYPE html><title>Measured</title>\n<p>";
        let mut random = Random::new(80);
        // What no compression makes shorter, as far as letters go.
        let mut page = HEAD.as_bytes().to_vec();
        page.extend((page.len()..PAGE - 1).map(|_| b'a' + random.below(26) as u8));
        page.push(b'\n');
        let file = (0..FILE).map(|_| random.below(256) as u8).collect();
        Self { page, file }
    }

    fn files(&self) -> [(&str, &[u8]); 2] {
        [("index.html", &self.page), ("1m.bin", &self.file)]
    }

    /// Writes them to a directory.
    pub fn write(&self, directory: &Path) -> Result<()> {
        for (name, bytes) in self.files() {
            let file = directory.join(name);
            fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }

    /// What a Linux guest needs besides to serve them with nginx, over TLS too if it gets a certificate: an archive to follow its initial RAM disk.
    pub fn nginx(&self, tools: &Tools, certificate: Option<&Certificate>) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.directory("etc");
        let tls = if certificate.is_some() { TLS } else { "" };
        archive.file("etc/nginx.conf", 0o644, format!("{CONFIG}{tls}}}\n").as_bytes());
        if let Some(Certificate { cert, key }) = certificate {
            archive.file("etc/cert.pem", 0o644, &fs::read(cert)?);
            archive.file("etc/key.pem", 0o600, &fs::read(key)?);
        }
        archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n");
        archive.file("etc/group", 0o644, b"root:x:0:\n");
        archive.directory(PLACE);
        for (name, bytes) in self.files() {
            archive.file(&format!("{PLACE}/{name}"), 0o644, bytes);
        }
        tools.put_into(&mut archive, &["nginx"])?;
        Ok(archive.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_long_as_is_said() {
        let Pages { page, file } = Pages::new();
        assert_eq!((page.len(), file.len()), (PAGE, FILE));
    }
}
