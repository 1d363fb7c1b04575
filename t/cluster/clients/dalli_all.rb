#!/usr/bin/ruby
# dalli with all nodes on its ring, and with one.  Arguments: ports.

begin
  require 'dalli'
rescue LoadError
  exit 77
end

Dalli.logger.level = Logger::FATAL
SERVERS = ARGV.map { |port| "127.0.0.1:#{port}" }.freeze
PATIENT = { socket_timeout: 20 }.freeze

def check(got, want, name)
  puts got == want ? "ok #{name}"
    : "not ok #{name} - got #{got.inspect[0, 200]}, want #{want.inspect[0, 200]}"
end

many = Dalli::Client.new(SERVERS, PATIENT)
values = (1..500).to_h { |i| ["ring#{i}", "v#{i}"] }
many.multi { values.each { |k, v| many.set(k, v) } }
check(many.get_multi(values.keys), values, 'quiet sets and get_multi through all')
SERVERS.each do |server|
  one = Dalli::Client.new(server, PATIENT)
  check(one.get_multi(values.keys), values, 'and through one of them')
  one.set("by #{server}", 'x')
  check(many.get("by #{server}"), 'x', 'what one stores all find')
end
check(Dalli::Client.new(SERVERS.reverse[0, 2], PATIENT).get_multi(values.keys), values,
      'through two of them')
many.incr('ring-n', 1, nil, 10)
check(Dalli::Client.new(SERVERS.last, PATIENT).incr('ring-n', 5), 15, 'incr')
check(many.cas('ring1') { |v| "#{v}!" } ? true : false, true, 'cas')
check(Dalli::Client.new(SERVERS.first, PATIENT).get('ring1'), 'v1!', 'and its value')
Dalli::Client.new(SERVERS.first, PATIENT).flush
check(many.get_multi(values.keys), {}, 'flush through one empties all')
