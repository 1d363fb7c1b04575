<?php
// A session of php-memcached, over the text and the binary protocol.
if (!extension_loaded('memcached')) {
    exit(77);
}
[, $host, $port] = $argv;

function check($got, $want, string $name): void
{
    echo $got === $want ? "ok $name\n"
        : "not ok $name - got " . substr(json_encode($got) ?: 'bytes', 0, 200)
        . ', want ' . substr(json_encode($want) ?: 'bytes', 0, 200) . "\n";
}

function session(bool $binary, string $host, int $port): void
{
    $w = $binary ? 'binary: ' : 'text: ';
    $mc = new Memcached();
    $mc->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $mc->setOption(Memcached::OPT_TCP_NODELAY, true);
    $mc->addServer($host, $port);
    check($mc->flush(), true, $w . 'flush');
    $values = [1, 2.5, true, false, null, 'text', "\0\r\nEND\r\n", ['a' => [1, 2]],
               str_repeat('y', 300000)];
    foreach ($values as $i => $value) {
        check($mc->set("v$i", $value), true, $w . "set of value $i");
        check($mc->get("v$i"), $value, $w . "get of value $i");
    }
    check($mc->get('missing'), false, $w . 'get misses');
    check($mc->getResultCode(), Memcached::RES_NOTFOUND, $w . 'with the right code');
    $many = [];
    for ($i = 0; $i < 500; $i++) {
        $many["m$i"] = "value $i";
    }
    check($mc->setMulti($many), true, $w . 'setMulti');
    check($mc->getMulti(array_keys($many), Memcached::GET_PRESERVE_ORDER), $many, $w . 'getMulti');
    check($mc->getDelayed(['m1', 'm2', 'none']), true, $w . 'getDelayed');
    check(count($mc->fetchAll()), 2, $w . 'fetchAll');
    check($mc->add('m1', 'x'), false, $w . 'add that fails');
    check($mc->getResultCode(),
          $binary ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED,
          $w . 'with the right code');
    check($mc->replace('none', 'x'), false, $w . 'replace that fails');
    check($mc->set('n', 10), true, $w . 'set of a number');
    check($mc->increment('n', 5), 15, $w . 'increment');
    check($mc->decrement('n', 20), 0, $w . 'decrement');
    check($mc->increment('none'), false, $w . 'increment misses');
    if ($binary) {
        check($mc->increment('created', 1, 7, 100), 7, $w . 'increment creates');
        check($mc->increment('created', 1, 7, 100), 8, $w . 'and then counts');
    }
    $mc->set('c', 'one');
    $got = $mc->get('c', null, Memcached::GET_EXTENDED);
    check($got['value'], 'one', $w . 'get with cas');
    check($mc->cas($got['cas'], 'c', 'two'), true, $w . 'cas');
    check($mc->cas($got['cas'], 'c', 'three'), false, $w . 'cas again');
    check($mc->getResultCode(), Memcached::RES_DATA_EXISTS, $w . 'with the right code');
    $mc->setOption(Memcached::OPT_COMPRESSION, false);
    $mc->set('s', 'm');
    check([$mc->append('s', '>'), $mc->prepend('s', '<'), $mc->get('s')],
          [true, true, '<m>'], $w . 'append and prepend');
    $mc->set('long', str_repeat('z', 1000000));
    check($mc->get('long'), str_repeat('z', 1000000), $w . 'a million bytes');
    check($mc->set('long', str_repeat('z', 2000000)), false, $w . 'two million are too large');
    check($mc->getResultCode(), Memcached::RES_E2BIG, $w . 'with the right code');
    check($mc->get('long'), false, $w . 'and the old value is gone');
    check($mc->get('s'), '<m>', $w . 'the connection is in step');
    check($mc->touch('s', 100), true, $w . 'touch');
    check($mc->set('short', 'x', 1), true, $w . 'set with a time');
    sleep(2);
    usleep(100000);
    check($mc->get('short'), false, $w . 'expiry');
    check([$mc->delete('s'), $mc->delete('s')], [true, false], $w . 'delete');
    $deleted = $mc->deleteMulti(array_keys($many));
    check(array_unique(array_values($deleted)), [true], $w . 'deleteMulti');
    $stats = $mc->getStats()["$host:$port"] ?? [];
    check(isset($stats['curr_items'], $stats['pid']), true, $w . 'getStats');
    check(str_starts_with($mc->getVersion()["$host:$port"] ?? '', '1.6.'), true, $w . 'getVersion');
    $mc->quit();
    check($mc->set('again', 1), true, $w . 'a new connection after quit');
}

session(false, $host, (int)$port);
session(true, $host, (int)$port);
