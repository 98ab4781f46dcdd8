// SPDX-License-Identifier: AGPL-3.0-or-later
//! Archives of an enemy.

#![allow(dead_code, reason = "each user takes a part")]
#![allow(
    clippy::missing_panics_doc,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tests stop by panicking"
)]

/// What is sent, and whether it must be refused.
pub struct Hostile {
    pub what: String,
    pub bytes: Vec<u8>,
    pub refused: bool,
}

/// A sequence of numbers that looks random, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// Writes archives without any care.
#[derive(Clone, Default)]
pub struct Builder(pub Vec<u8>);

impl Builder {
    /// A header. `size` is what it says.
    pub fn header(&mut self, kind: u8, name: &[u8], link: &[u8], size: u64) -> &mut Self {
        let mut block = [0_u8; 512];
        let put = |block: &mut [u8; 512], at: usize, bytes: &[u8]| {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(&mut block, 0, &name[..name.len().min(100)]);
        put(&mut block, 100, b"0000755\0");
        put(&mut block, 108, b"0000000\0");
        put(&mut block, 116, b"0000000\0");
        if size < 1 << 33 {
            put(&mut block, 124, format!("{size:011o}\0").as_bytes());
        } else {
            put(&mut block, 128, &size.to_be_bytes());
            block[124] = 0x80;
        }
        put(&mut block, 136, b"14700000000\0");
        block[156] = kind;
        put(&mut block, 157, &link[..link.len().min(100)]);
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 329, b"0000001\0");
        put(&mut block, 337, b"0000003\0");
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub fn data(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(&mut self, name: &[u8], content: &[u8]) -> &mut Self {
        self.header(b'0', name, b"", content.len() as u64)
            .data(content)
    }

    pub fn dir(&mut self, name: &[u8]) -> &mut Self {
        self.header(b'5', name, b"", 0)
    }

    pub fn symlink(&mut self, name: &[u8], target: &[u8]) -> &mut Self {
        self.header(b'2', name, target, 0)
    }

    pub fn hard_link(&mut self, name: &[u8], target: &[u8]) -> &mut Self {
        self.header(b'1', name, target, 0)
    }

    pub fn records(&mut self, kind: u8, records: &[(&[u8], &[u8])]) -> &mut Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} ").as_bytes());
            data.extend_from_slice(key);
            data.push(b'=');
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.header(kind, b"PaxHeaders/x", b"", data.len() as u64)
            .data(&data)
    }

    pub fn end(&mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        std::mem::take(&mut self.0)
    }
}

/// All of them. `outside` is a directory beside the one that is unpacked in, with a file `secret` in it.
pub fn hostile(outside: &[u8]) -> Vec<Hostile> {
    let mut all = Vec::new();
    names(outside, &mut all);
    links(outside, &mut all);
    sizes(&mut all);
    sparse(&mut all);
    shapes(&mut all);
    damage(&mut all);
    all
}

fn push(
    all: &mut Vec<Hostile>,
    what: impl Into<String>,
    refused: bool,
    build: impl FnOnce(&mut Builder),
) {
    let mut builder = Builder::default();
    builder.dir(b"./");
    build(&mut builder);
    all.push(Hostile {
        what: what.into(),
        bytes: builder.end(),
        refused,
    });
}

/// Names that lead out, in every place where a name can be.
fn names(outside: &[u8], all: &mut Vec<Hostile>) {
    let absolute = [outside, b"/new"].concat();
    let names: [&[u8]; 9] = [
        &absolute,
        b"../new",
        b"..",
        b"./../new",
        b"a/../../new",
        b"a/b/../../../new",
        b"//new",
        b"a/..",
        b"../../../../../../../../tmp/blockio-hostile-new",
    ];
    for name in names {
        let shown = name.escape_ascii().to_string();
        for kind in [b'0', b'5', b'2', b'6', b'3'] {
            push(
                all,
                format!("{shown} of kind {}", char::from(kind)),
                true,
                |b| {
                    b.header(kind, name, b"x", 0);
                },
            );
        }
        push(all, format!("{shown} by an extended header"), true, |b| {
            b.records(b'x', &[(b"path", name)]).file(b"harmless", b"x");
        });
        push(all, format!("{shown} by a global header"), true, |b| {
            b.records(b'g', &[(b"path", name)]).file(b"harmless", b"x");
        });
        push(all, format!("{shown} by a long name"), true, |b| {
            b.header(b'L', b"././@LongLink", b"", name.len() as u64)
                .data(name)
                .file(b"harmless", b"x");
        });
        push(
            all,
            format!("{shown} by the name of a sparse file"),
            true,
            |b| {
                b.records(
                    b'x',
                    &[
                        (b"GNU.sparse.major", b"1"),
                        (b"GNU.sparse.minor", b"0"),
                        (b"GNU.sparse.name", name),
                        (b"GNU.sparse.realsize", b"0"),
                    ],
                )
                .file(b"harmless", b"0\n");
            },
        );
        push(all, format!("a link to {shown}"), true, |b| {
            b.file(b"mine", b"x").hard_link(b"hard", name);
        });
    }
    push(all, "a zero in a name", true, |b| {
        b.records(b'x', &[(b"path", b"a\0/../../new")])
            .file(b"harmless", b"x");
    });
    push(all, "an empty name", true, |b| {
        b.file(b"", b"x");
    });
    push(all, "the root as a file", true, |b| {
        b.file(b"./", b"x");
    });
    push(all, "the root as a link", true, |b| {
        b.symlink(b".", outside);
    });
}

/// Links that something else goes through.
fn links(outside: &[u8], all: &mut Vec<Hostile>) {
    let secret = [outside, b"/secret"].concat();
    let targets: [&[u8]; 3] = [outside, b"..", b"../outside"];
    for target in targets {
        let shown = target.escape_ascii().to_string();
        push(
            all,
            format!("a file through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target).file(b"link/new", b"x");
            },
        );
        push(
            all,
            format!("a directory through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target).dir(b"link/new/");
            },
        );
        push(
            all,
            format!("a directory in the place of a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target)
                    .dir(b"link/")
                    .file(b"link/new", b"x");
            },
        );
        push(
            all,
            format!("a device through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target)
                    .header(b'3', b"link/null", b"", 0);
            },
        );
        push(
            all,
            format!("a pipe through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target)
                    .header(b'6', b"link/pipe", b"", 0);
            },
        );
        push(
            all,
            format!("a link through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target)
                    .symlink(b"link/new", b"/etc/passwd");
            },
        );
        push(
            all,
            format!("two links, one through the other, to {shown}"),
            true,
            |b| {
                b.symlink(b"one", target)
                    .symlink(b"two", b"one")
                    .file(b"two/new", b"x");
            },
        );
        push(
            all,
            format!("a link in a directory to {shown}"),
            true,
            |b| {
                b.dir(b"d/")
                    .symlink(b"d/link", target)
                    .file(b"d/link/new", b"x");
            },
        );
        push(
            all,
            format!("a hard link through a link to {shown}"),
            true,
            |b| {
                b.symlink(b"link", target)
                    .hard_link(b"hard", b"link/secret")
                    .file(b"hard", b"overwritten");
            },
        );
        push(
            all,
            format!("a hard link into a link to {shown}"),
            true,
            |b| {
                b.file(b"f", b"x")
                    .symlink(b"link", target)
                    .hard_link(b"link/hard", b"f");
            },
        );
        push(
            all,
            format!("a directory that becomes a link to {shown}"),
            true,
            |b| {
                b.dir(b"d/")
                    .file(b"d/f", b"x")
                    .symlink(b"d", target)
                    .file(b"d/new", b"x");
            },
        );
    }
    // These stay within: what was a link is replaced, never written to.
    push(all, "a file in the place of a link", false, |b| {
        b.symlink(b"link", &secret).file(b"link", b"overwritten");
    });
    push(
        all,
        "a file in the place of a hard link to a link",
        false,
        |b| {
            b.symlink(b"link", &secret)
                .hard_link(b"hard", b"link")
                .file(b"hard", b"overwritten");
        },
    );
    push(all, "a large file in the place of a link", false, |b| {
        b.symlink(b"link", &secret).file(b"link", &vec![1; 3 << 20]);
    });
    push(all, "a pipe that is written to", false, |b| {
        b.header(b'6', b"pipe", b"", 0).file(b"pipe", b"x");
    });
    push(all, "a device that is written to", false, |b| {
        b.header(b'4', b"disk", b"", 0).file(b"disk", b"x");
    });
    push(all, "a link to itself", true, |b| {
        b.hard_link(b"a", b"a");
    });
    push(all, "a hard link to a directory", true, |b| {
        b.dir(b"d/").hard_link(b"hard", b"d");
    });
    push(all, "a hard link to the root", true, |b| {
        b.hard_link(b"hard", b"./");
    });
    push(all, "a file as a directory", true, |b| {
        b.file(b"a", b"x").file(b"a/b", b"x");
    });
    push(all, "a directory as a file", true, |b| {
        b.dir(b"a/").file(b"a", b"x");
    });
    push(all, "one name many times", false, |b| {
        for number in 0..300_u32 {
            b.file(b"same", &number.to_le_bytes());
            b.symlink(b"same", &secret);
        }
    });
}

/// Numbers that promise too much.
fn sizes(all: &mut Vec<Hostile>) {
    for size in [1 << 20, 1 << 30, 1 << 40, u64::MAX >> 1, u64::MAX >> 2] {
        for kind in [b'x', b'g', b'L', b'K', b'0', b'5', b'6', b'S'] {
            push(
                all,
                format!(
                    "{size} bytes of kind {} that are not there",
                    char::from(kind)
                ),
                true,
                |b| {
                    b.header(kind, b"a", b"", size);
                },
            );
        }
    }
    push(all, "twenty megabytes of records", true, |b| {
        b.records(b'x', &[(b"comment", &vec![b'c'; 20 << 20])])
            .file(b"a", b"x");
    });
    push(all, "a global header that grows", true, |b| {
        for _ in 0..40 {
            b.records(b'g', &[(b"comment", &vec![b'c'; 100_000])]);
        }
        b.file(b"a", b"x");
    });
    push(all, "a name of a megabyte", true, |b| {
        b.records(b'x', &[(b"path", &vec![b'n'; 1 << 20])])
            .file(b"a", b"x");
    });
    push(all, "a part of a name that is too long", true, |b| {
        b.records(b'x', &[(b"path", &vec![b'n'; 5000])])
            .file(b"a", b"x");
    });
    push(
        all,
        "nested directories with large attributes",
        false,
        |b| {
            let mut path = Vec::new();
            for _ in 0..60 {
                path.extend_from_slice(b"d/");
                b.records(
                    b'x',
                    &[
                        (b"path", &path),
                        (b"SCHILY.xattr.user.big", &vec![7; 3 << 20]),
                    ],
                )
                .dir(b"d/");
            }
        },
    );
    push(all, "nested directories with long ACLs", true, |b| {
        let mut path = Vec::new();
        let acl: Vec<u8> = (0..7000)
            .flat_map(|user| format!("u:{user}:r,").into_bytes())
            .collect();
        for _ in 0..500 {
            path.extend_from_slice(b"d/");
            b.records(b'x', &[(b"path", &path), (b"SCHILY.acl.default", &acl)])
                .dir(b"d/");
        }
        b.header(b'0', b"", b"", 0);
    });
    for (key, value) in [
        (&b"size"[..], &b"-1"[..]),
        (b"size", b"18446744073709551615"),
        (b"size", b"99999999999999999999999"),
        (b"uid", b"4294967295"),
        (b"uid", b"-1"),
        (b"gid", b"99999999999"),
        (b"mtime", b"x"),
        (b"mtime", b"99999999999999999999"),
    ] {
        let what = format!("record {}={}", key.escape_ascii(), value.escape_ascii());
        push(all, what, true, |b| {
            b.records(b'x', &[(key, value)]).file(b"a", b"x");
        });
    }
}

/// Maps of files with holes.
fn sparse(all: &mut Vec<Hostile>) {
    let cases: [(&str, &[u8], &[u8]); 12] = [
        (
            "more entries than there are",
            b"10",
            b"1000000000000000000\n0\n1\n",
        ),
        ("no number", b"10", b"x\n"),
        ("a number without end", b"10", &[b'1'; 512]),
        ("an empty line", b"10", b"\n\n"),
        ("overlapping", b"100", b"2\n0\n50\n20\n10\n"),
        ("going backwards", b"100", b"2\n50\n10\n0\n10\n"),
        ("beyond the size", b"10", b"1\n5\n10\n"),
        ("beyond everything", b"10", b"1\n18446744073709551615\n10\n"),
        (
            "wrapping round",
            b"10",
            b"1\n9223372036854775807\n9223372036854775807\n",
        ),
        ("more data than is stored", b"99999999", b"1\n0\n99999999\n"),
        ("less data than is stored", b"99999999", b"1\n0\n0\n"),
        ("a size without end", b"9223372036854775807", b"1\n0\n1\n"),
    ];
    for (what, size, map) in cases {
        // Some file systems have room for any size.
        let refused = what != "a size without end";
        push(all, format!("a map with {what}"), refused, |b| {
            let mut content = map.to_vec();
            content.resize(content.len().next_multiple_of(512), 0);
            content.push(b'd');
            b.records(
                b'x',
                &[
                    (b"GNU.sparse.major", b"1"),
                    (b"GNU.sparse.minor", b"0"),
                    (b"GNU.sparse.name", b"s"),
                    (b"GNU.sparse.realsize", size),
                ],
            )
            .file(b"s", &content);
        });
    }
    push(all, "a map of six million entries", true, |b| {
        let mut map = b"6000000\n".to_vec();
        for _ in 0..6_000_000 {
            map.extend_from_slice(b"0\n0\n");
        }
        b.records(
            b'x',
            &[
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.name", b"s"),
                (b"GNU.sparse.realsize", b"10"),
            ],
        )
        .file(b"s", &map);
    });
    for map in [&b"0,1,2"[..], b"0,x", b"5,10", b"", b"1,1,0,1"] {
        push(all, format!("the map {}", map.escape_ascii()), true, |b| {
            b.records(
                b'x',
                &[(b"GNU.sparse.size", b"8"), (b"GNU.sparse.map", map)],
            )
            .file(b"s", b"12");
        });
    }
    push(all, "a length without offset", true, |b| {
        b.records(
            b'x',
            &[(b"GNU.sparse.size", b"8"), (b"GNU.sparse.numbytes", b"1")],
        )
        .file(b"s", b"1");
    });
}

/// Many of something, deep, or unknown.
fn shapes(all: &mut Vec<Hostile>) {
    push(all, "thirty thousand directories", false, |b| {
        for number in 0..30_000 {
            b.dir(format!("d{number}/").as_bytes());
        }
    });
    push(
        all,
        "directories that are left and entered again and again",
        false,
        |b| {
            b.dir(b"a/").dir(b"b/");
            for number in 0..500 {
                b.file(format!("a/{number}").as_bytes(), b"x")
                    .file(format!("b/{number}").as_bytes(), b"x");
            }
        },
    );
    push(all, "ten thousand levels", false, |b| {
        let path = b"d/".repeat(10_000);
        b.records(b'x', &[(b"path", &path)]).dir(b"d/");
    });
    push(all, "a file in a hundred thousand levels", true, |b| {
        let path = b"d/".repeat(100_000);
        b.records(b'x', &[(b"path", &path)]).file(b"f", b"x");
    });
    for kind in [b'M', b'V', b'D', b'N', b'A', b'Z', 0xff] {
        push(
            all,
            format!("an unknown kind {}", kind.escape_ascii()),
            true,
            |b| {
                b.header(kind, b"a", b"", 0);
            },
        );
    }
    push(all, "something in the second block of the end", true, |b| {
        b.0.extend_from_slice(&[0; 512 + 100]);
        b.data(b"more");
    });
    push(all, "an extended header without member", true, |b| {
        b.records(b'x', &[(b"path", b"a")]);
    });
    push(all, "attributes of others", false, |b| {
        b.records(
            b'x',
            &[
                (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
                (b"SCHILY.xattr.security.selinux", b"x"),
                (b"SCHILY.xattr.system.posix_acl_access", b"\xff"),
                (b"SCHILY.acl.access", b"user::rwx,what"),
            ],
        )
        .file(b"a", b"x");
    });
}

/// A good archive with bytes changed, left out or doubled.
fn damage(all: &mut Vec<Hostile>) {
    for seed in 0..60 {
        all.push(Hostile {
            what: format!("damage number {seed}"),
            bytes: damaged(&mut Random::new(seed)),
            refused: false,
        });
    }
}

/// A random archive, a little broken.
pub fn damaged(random: &mut Random) -> Vec<u8> {
    let mut builder = Builder::default();
    let names: [&[u8]; 9] = [
        b"a", b"b", b"a/b", b"b/a", b"./c", b"c/", b"a/../b", b"/b", b".",
    ];
    for _ in 0..=random.below(12) {
        let name = names[random.below(names.len())];
        let link = names[random.below(names.len())];
        match random.below(9) {
            0 => builder.dir(name),
            1 => builder.symlink(name, link),
            2 => builder.hard_link(name, link),
            3 => builder.header(b'6', name, b"", 0),
            4 => builder.records(
                b'x',
                &[
                    (b"path", name),
                    (b"mtime", b"-1.5"),
                    (b"SCHILY.xattr.user.a", b"\n\0="),
                    (
                        b"SCHILY.acl.access",
                        b"user::rwx,user:5:r,group::r,mask::r,other::r",
                    ),
                ],
            ),
            5 => builder
                .records(
                    b'x',
                    &[
                        (b"GNU.sparse.major", b"1"),
                        (b"GNU.sparse.minor", b"0"),
                        (b"GNU.sparse.name", name),
                        (b"GNU.sparse.realsize", b"100000"),
                    ],
                )
                .header(b'0', name, b"", 515)
                .data(b"2\n4096\n3\n100000\n0\n")
                .data(b"abc"),
            6 => builder.header(b'L', b"././@LongLink", b"", 3).data(name),
            7 => builder.file(name, &vec![7; random.below(3000)]),
            _ => builder.header(b'S', name, b"", 0),
        };
    }
    let mut bytes = builder.end();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = b'0' + u8::try_from(random.below(10)).unwrap(),
            2 => bytes.truncate(at),
            _ => {
                let block = at / 512 * 512;
                let again = bytes[block..(block + 512).min(bytes.len())].to_vec();
                let there = random.below(bytes.len() / 512 + 1) * 512;
                bytes.splice(there.min(bytes.len())..there.min(bytes.len()), again);
            }
        }
        if bytes.is_empty() {
            break;
        }
        if random.below(2) == 0 {
            correct(&mut bytes);
        }
    }
    bytes
}

/// Makes the checksums right again, so that what is behind them is tried too.
fn correct(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
