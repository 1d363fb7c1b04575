#!/usr/bin/perl
# A session of Cache::Memcached and Cache::Memcached::Fast; ARGV: which, host, port.
use strict;
use warnings;

my ($class, $host, $port) = @ARGV;
eval "require $class; 1" or exit 77;
my $fast = $class eq 'Cache::Memcached::Fast';

sub check {
    my ($got, $want, $name) = @_;
    $got  = defined $got  ? "$got"  : '(undef)';
    $want = defined $want ? "$want" : '(undef)';
    print $got eq $want ? "ok $name\n"
        : "not ok $name - got " . substr($got, 0, 200) . ", want " . substr($want, 0, 200) . "\n";
}

my $address = "$host:$port";
my $mc = $class->new({
    servers => [$address],
    $fast ? (compress_threshold => 10_000, io_timeout => 10) : ()
});
check($mc->set('a', 'text'), 1, 'set');
check(scalar($mc->get('a')), 'text', 'get');
check(scalar($mc->get('missing')), undef, 'get misses');
check($mc->set('ref', { list => [1, 2, 3] }), 1, 'set of a structure');
check(join(',', @{ $mc->get('ref')->{list} }), '1,2,3', 'flags bring it back');
check($mc->set('bytes', "\0\r\n\xffEND\r\n"), 1, 'set of bytes');
check(scalar($mc->get('bytes')), "\0\r\n\xffEND\r\n", 'get of bytes');
check($mc->set('long', 'x' x 900_000), 1, 'set of 900 kB');
check(length $mc->get('long'), 900_000, 'get of 900 kB');
check($mc->add('a', 'x') ? 1 : 0, 0, 'add that fails');
check($mc->add('b', 'x') ? 1 : 0, 1, 'add');
check($mc->replace('none', 'x') ? 1 : 0, 0, 'replace that fails');
check($mc->replace('b', '10') ? 1 : 0, 1, 'replace');
check($mc->incr('b'), 11, 'incr');
check($mc->incr('b', 9), 20, 'incr by 9');
check($mc->decr('b', 15) + 0, 5, 'decr');
check($mc->decr('b', 50) + 0, 0, 'decr stops at 0');
$mc->set("m$_", "v$_") for 1 .. 500;
my $many = $mc->get_multi(map { "m$_" } 1 .. 600);
check(scalar(keys %$many), 500, 'get_multi');
check(scalar(grep { $many->{"m$_"} eq "v$_" } 1 .. 500), 500, 'and all values are right');
check($mc->set('short', 'x', 1), 1, 'set with a time');
sleep 3;
check(scalar($mc->get('short')), undef, 'and it expires');
check($mc->delete('a') ? 1 : 0, 1, 'delete');
check($mc->delete('a') ? 1 : 0, 0, 'delete again');
my $large = join('', map { chr(33 + $_ * 7919 % 90) } 1 .. 2_000_000);
check($mc->set('large', $large) ? 1 : 0, 0, 'too large a value')
    unless $fast;
check(scalar($mc->get('m1')), 'v1', 'the connection is in step');

if ($fast) {
    my $cas = $mc->gets('m1');
    check($cas->[1], 'v1', 'gets');
    check($mc->cas('m1', $cas->[0], 'new') ? 1 : 0, 1, 'cas');
    check($mc->cas('m1', $cas->[0], 'newer') ? 1 : 0, 0, 'cas again');
    check($mc->append('m1', '>') && $mc->prepend('m1', '<') ? 1 : 0, 1, 'append and prepend');
    check(scalar($mc->get('m1')), '<new>', 'and the value');
    check($mc->touch('m1', 100) ? 1 : 0, 1, 'touch');
    my $stored = $mc->set_multi(map { ["n$_", "w$_"] } 1 .. 300);
    check(scalar(grep { $_ } values %$stored), 300, 'set_multi');
    my $found = $mc->gats_multi(100, map { "n$_" } 1 .. 310);
    check(scalar(keys %$found), 300, 'gats_multi');
    my $deleted = $mc->delete_multi(map { "n$_" } 1 .. 300);
    check(scalar(grep { $_ } values %$deleted), 300, 'delete_multi');
    my $version = $mc->server_versions->{$address} // '';
    check($version =~ /^1\.6\.\d+/ ? 1 : 0, 1, 'server_versions');
    my $quiet = $class->new({ servers => [$address], nowait => 1 });
    $quiet->set("q$_", $_)  for 1 .. 1000;
    $quiet->delete("q$_") for 1 .. 500;
    $quiet->incr("q$_") for 900 .. 1000;
    $quiet->nowait_push;
    check(scalar($quiet->get('q900')), 901, 'a thousand commands without waiting');
    check(scalar($quiet->get('q1')), undef, 'among them deletes');
    $mc->flush_all;
} else {
    my $stats = $mc->stats(['misc', 'malloc', 'sizes', 'self'])->{hosts}{$address}{misc};
    for my $name (qw(bytes bytes_read bytes_written cmd_get cmd_set connection_structures curr_items
                     get_hits get_misses total_connections total_items)) {
        check(defined $stats->{$name} ? 1 : 0, 1, "stats misc: $name");
    }
    $mc->flush_all;
}
sleep 1;
check(scalar($mc->get('m2')), undef, 'flush_all');
$mc->disconnect_all;
