#!/usr/bin/perl
# Usage: log.pl COMMAND…
# Runs it with a standard output that never makes it wait: lines go on as fast as the container's log is read, up to a
# MiB of them waits here, and further ones are dropped, counted in /tmp/nginx/log_lines_dropped, and told of in a line.
# NGINX would write to a full pipe until somebody reads it, and serve nobody meanwhile.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);

use constant WAITING => 1 << 20;     # bytes
use constant LAST_WORDS => 2;        # seconds that the end waits for the reader
use constant WNOHANG => 1;
my $counter = '/tmp/nginx/log_lines_dropped';

pipe(my $lines, my $theirs) or die "pipe: $!\n";
my ($status, $ended);
$SIG{CHLD} = sub { };                # ends a select
my $child = fork // die "fork: $!\n";
if ($child == 0) {
    open STDOUT, '>&', $theirs or die "stdout: $!\n";
    fcntl(STDERR, F_SETFL, fcntl(STDERR, F_GETFL, 0) | O_NONBLOCK);    # what does not pass is lost
    exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
}
close $theirs;
for my $name (qw(QUIT TERM INT HUP USR1 USR2 WINCH)) {
    $SIG{$name} = sub { kill $name, $child };
}
fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) | O_NONBLOCK) for (*STDOUT, $lines);

my ($begun, $waiting, $dropped, $total) = ('', '', 0, 0);

sub take {
    $begun .= shift;
    my $end = rindex($begun, "\n") + 1 or return;
    my $whole = substr($begun, 0, $end, '');
    if (length($waiting) + length($whole) > WAITING) {
        my $count = $whole =~ tr/\n//;
        $dropped += $count;
        $total += $count;
        if (open my $file, '>', $counter) { print $file $total; close $file }
        return;
    }
    if ($dropped) {
        $waiting .= qq({"level":"WARNING","logger":"nginx.access","message":"$dropped lines dropped: nobody read them"}\n);
        $dropped = 0;
    }
    $waiting .= $whole;
}

my $open = 1;
while (1) {
    while ((my $pid = waitpid(-1, WNOHANG)) > 0) {
        ($status, $ended) = ($?, time) if $pid == $child;
    }
    if (defined $ended) {            # whoever of its kind is left ends with this process
        last if (!$open && $waiting eq '') || time - $ended >= LAST_WORDS;
    }
    my ($read, $write) = ('', '');
    vec($read, fileno($lines), 1) = 1 if $open;
    vec($write, fileno(STDOUT), 1) = 1 if $waiting ne '';
    my $ready = select($read, $write, undef, 0.5 * (defined $ended || !$open) || 5);
    if ($ready <= 0) {
        last if defined $ended && $waiting eq '';
        next;
    }
    if ($open && vec($read, fileno($lines), 1)) {
        my $count = sysread($lines, my $chunk, 1 << 16);
        if ($count) { take($chunk) }
        elsif (defined $count) { $open = 0 }
    }
    if ($waiting ne '' && vec($write, fileno(STDOUT), 1)) {
        my $count = syswrite(STDOUT, $waiting);
        if (defined $count) { substr($waiting, 0, $count, '') }
        elsif ($! != EAGAIN && $! != EINTR) { $waiting = '' }    # there is no reader any more
    }
}
exit(($status & 127) ? 128 + ($status & 127) : $status >> 8);
