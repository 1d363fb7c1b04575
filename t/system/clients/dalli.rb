#!/usr/bin/ruby
# A session of dalli: binary, and the meta protocol where this version has it.

begin
  require 'dalli'
rescue LoadError
  exit 77
end

Dalli.logger.level = Logger::FATAL
SERVER = "#{ARGV[0]}:#{ARGV[1]}".freeze

def check(got, want, name)
  puts got == want ? "ok #{name}"
    : "not ok #{name} - got #{got.inspect[0, 200]}, want #{want.inspect[0, 200]}"
end

def raised
  yield
rescue StandardError => e
  e.class.name
end

def session(word, options)
  dc = Dalli::Client.new(SERVER, options)
  dc.flush
  check(dc.set('a', { 'x' => [1, 2.5, nil] }) ? true : false, true, "#{word}set")
  check(dc.get('a'), { 'x' => [1, 2.5, nil] }, "#{word}get")
  check(dc.get('missing'), nil, "#{word}get misses")
  # In meta, dalli up to 3.2.8 takes the first line of a value for the whole.
  bytes = options[:protocol] ? "\0\n\r\xffEND\n".b : "\0\r\n\xffEND\r\n".b
  dc.set('bytes', bytes, 0, raw: true)
  check(dc.get('bytes', raw: true)&.b, bytes, "#{word}raw bytes")
  dc.set('long', 'x' * 900_000, 0, compress: false)
  check(dc.get('long'), 'x' * 900_000, "#{word}900 kB")
  dc.set("key with blanks \u00fc", 'v')
  check(dc.get("key with blanks \u00fc"), 'v', "#{word}a key with blanks")
  check(dc.add('a', 1) ? true : false, false, "#{word}add that fails")
  check(dc.add('b', 1) ? true : false, true, "#{word}add")
  dc.replace('none', 1)
  check(dc.get('none'), nil, "#{word}replace that fails")
  check(dc.replace('b', 2) ? true : false, true, "#{word}replace")
  many = (1..500).to_h { |i| ["m#{i}", "v#{i}"] }
  dc.multi { many.each { |k, v| dc.set(k, v) } }
  check(dc.get_multi(many.keys + %w[no1 no2]), many, "#{word}quiet sets and get_multi")
  check(dc.incr('n', 1, nil, 10), 10, "#{word}incr creates")
  check(dc.incr('n', 5), 15, "#{word}incr")
  check(dc.decr('n', 20), 0, "#{word}decr stops at 0")
  check(dc.incr('none', 1), nil, "#{word}incr misses")
  check(dc.cas('b') { |v| v + 40 } ? true : false, true, "#{word}cas")
  check(dc.get('b'), 42, "#{word}and its value")
  check(dc.cas('none') { 1 }, nil, "#{word}cas misses")
  dc.set('s', 'm', 0, raw: true)
  joined = [dc.append('s', '>'), dc.prepend('s', '<')].map { |r| r ? true : false }
  check(joined, [true, true], "#{word}append and prepend")
  check(dc.get('s', raw: true), '<m>', "#{word}and the value")
  check(dc.touch('s', 100) ? true : false, true, "#{word}touch")
  check(dc.touch('none', 100) ? true : false, false, "#{word}touch misses")
  check(dc.gat('s', 100), '<m>', "#{word}gat") if dc.respond_to?(:gat)
  check(dc.delete('s') ? true : false, true, "#{word}delete")
  check(dc.delete('s') ? true : false, false, "#{word}delete again")
  check(dc.fetch('f') { 'computed' }, 'computed', "#{word}fetch computes")
  check(dc.fetch('f') { 'again' }, 'computed', "#{word}and then finds")
  dc.set('short', 'x', 1)
  sleep 2.1
  check(dc.get('short'), nil, "#{word}expiry")
  large = raised { dc.set('large', Random.new(1).bytes(2_000_000), 0, raw: true) ? true : false }
  check([false, 'Dalli::ValueOverMaxSize'].include?(large), true, "#{word}too large a value")
  check(dc.get('b'), 42, "#{word}the connection is in step")
  items = dc.stats.values.first['curr_items'].to_i
  check(items >= (ENV['SHARED'] ? 0 : 1), true, "#{word}stats") # or all are at other nodes
  check(dc.stats(:settings).values.first.key?('maxbytes'), true, "#{word}stats settings")
  names = dc.stats(:items).values.first.keys
  check(names.any? { |k| k.start_with?('items:') } || ENV.key?('SHARED'), true,
        "#{word}stats items")
  check(dc.version.values.first.start_with?('1.6.'), true, "#{word}version")
  dc.reset_stats
  dc.flush
  sleep 1
  check(dc.get('a'), nil, "#{word}flush")
  dc.close
end

session('binary: ', {})
has_meta = Gem::Version.new(Dalli::VERSION) >= Gem::Version.new('3.2')
if has_meta
  session('meta: ', { protocol: :meta })
else
  puts "skip meta - dalli #{Dalli::VERSION} does not speak it"
end
