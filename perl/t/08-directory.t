#!/usr/bin/perl
# SPDX-License-Identifier: AGPL-3.0-or-later

# ISO images, backups and the like are PVE's own business: the service does not hear of them.

use v5.36;

use FindBin;
use lib map { /\A(.+)\z/ } map { "$FindBin::Bin/$_" } qw(lib helper ../lib);

use Test::More;

use Blockio::Test;

my ($blockio, $blocktest) = load_types();
my $scfg = blockio_scfg();
# whoever asks the service fails
$ENV{PVE_BLOCKIO_SOCKET} = scratch_dir() . '/none.sock';

my $backup = 'backup/vzdump-qemu-100-2026_08_01-00_00_00.vma.zst';

for my $case (
    ['activate_volume', 'store', $scfg, 'iso/a.iso', undef, {}, {}],
    ['map_volume', 'store', $scfg, 'iso/a.iso'],
    ['free_image', 'store', $scfg, $backup, undef, 'raw'],
    ['clone_image', $scfg, 'store', 'iso/a.iso', 101],
    ['create_base', 'store', $scfg, 'iso/a.iso'],
    ['volume_size_info', $scfg, 'store', 'import/a.ova', 10],
    ['volume_resize', $scfg, 'store', 'iso/a.iso', 4096, 0],
    ['volume_snapshot', $scfg, 'store', 'iso/a.iso', 's1'],
    ['volume_snapshot_delete', $scfg, 'store', 'iso/a.iso', 's1', 0],
    ['volume_snapshot_rollback', $scfg, 'store', 'iso/a.iso', 's1'],
    ['volume_rollback_is_possible', $scfg, 'store', 'iso/a.iso', 's1'],
    ['volume_snapshot_info', $scfg, 'store', 'iso/a.iso'],
    ['volume_has_feature', $scfg, 'copy', 'store', 'iso/a.iso'],
    ['volume_qemu_snapshot_method', 'store', $scfg, 'import/a.qcow2'],
    ['qemu_blockdev_options', $scfg, 'store', 'iso/a.iso', '9.2', {}],
    ['volume_export', $scfg, 'store', \*STDOUT, 'iso/a.iso', 'raw+size'],
    ['volume_import', $scfg, 'store', \*STDIN, 'iso/a.iso', 'raw+size'],
) {
    my ($method, @arguments) = $case->@*;
    my $got = eval { $blockio->$method(@arguments) };
    is($@, '', "$method of a file lives");
    is($got, "stock $method", "... and is PVE's");
    my @calls = @PVE::Storage::Plugin::CALLS;
    is_deeply([stock_calls()], [$method], '... with one call');
    my $passed = $calls[0];
    is_deeply([$passed->@[1 .. 4]], [@arguments[0 .. 3]], '... of the same arguments');
}

is(
    dies_with(sub { $blockio->deactivate_volume('store', $scfg, 'iso/a.iso') }),
    'lived', 'there is nothing to deactivate'
);
is($blockio->unmap_volume('store', $scfg, 'iso/a.iso'), 1, '... or to unmap');
is_deeply(
    [$blockio->volume_export_formats($scfg, 'store', 'iso/a.iso')],
    ['stock+size'], 'export formats'
);
is_deeply(
    [$blockio->volume_import_formats($scfg, 'store', 'iso/a.iso')],
    ['stock+size'], 'import formats'
);

for my $case (
    ['get_volume_attribute', $scfg, 'store', $backup, 'notes'],
    ['get_volume_attribute', $scfg, 'store', $backup, 'protected'],
    ['update_volume_attribute', $scfg, 'store', $backup, 'notes', 'x'],
    ['update_volume_attribute', $scfg, 'store', $backup, 'protected', 1],
    ['get_import_metadata', $scfg, 'import/a.ova', 'store'],
) {
    my ($method, @arguments) = $case->@*;
    is($blockio->$method(@arguments), "stock $method", "$method is that of a directory storage");
    is_deeply([stock_calls()], ["dir $method"], '... indeed');
}
is(
    $blockio->get_volume_notes($scfg, 'store', $backup), 'stock get_volume_attribute',
    'notes in the old way'
);
is(
    $blockio->update_volume_notes($scfg, 'store', $backup, 'x'),
    'stock update_volume_attribute',
    '... also to be written'
);
stock_calls();

is_deeply(
    [
        sort map { $_->{content} }
            $blockio->list_volumes('store', $scfg, undef, [qw(iso backup)])->@*
    ],
    [qw(backup iso)], 'a listing of files does not ask the service',
);
like(
    dies_with(sub { $blockio->list_volumes('store', $scfg, undef, [qw(iso images)]) }),
    qr/unreachable/, '... one of disks does',
);
like(
    dies_with(sub {
        $blocktest->get_import_metadata(blocktest_scfg(), 'import/a.ova', 'array');
    }),
    qr/\Astorage type 'blocktest' has no content of type 'import'\n\z/,
    'an array has no files to import',
);
like(
    dies_with(sub { $blockio->rename_volume($scfg, 'store', 'iso/a.iso', 101) }),
    qr/\A(?:unable to parse|store: rename_volume)/,
    'a file is not given to a guest',
);

done_testing();
