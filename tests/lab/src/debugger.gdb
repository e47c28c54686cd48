
# Whether memory is there to be read: the MMU is off at the entry, and then nothing is kept yet.
define fata-ready
  set $ready = 0
  if (($cpsr >> 2) & 3) != 1
    printf "the CPU is not in a guest: it stopped in Xen\n"
  else
    if $fata_trace == 0
      printf "the image was built without its feature `trace`\n"
    else
      if *(unsigned long *) ($fata_trace + 0) == 0
        printf "nothing is kept yet\n"
      else
        set $ready = 1
      end
    end
  end
end

define fata-ports
  set language c
  set $i = 0
  printf "upcall pending %d, selector %#lx\n", *(unsigned char *) $fata_vcpu, *(unsigned long *) ($fata_vcpu + 8)
  while $i < 64
    set $pending = *(unsigned long *) ($fata_shared + 48 + 8 * $i)
    set $mask = *(unsigned long *) ($fata_shared + 560 + 8 * $i)
    if ($pending | $mask) != 0
      printf "ports %4d to %4d: pending %#018lx masked %#018lx\n", 64 * $i, 64 * $i + 63, $pending, $mask
      set $bit = 0
      while $bit < 64
        if (($pending >> $bit) & 1) != 0
          if (($mask >> $bit) & 1) != 0
            printf "  port %d is pending, and masked\n", 64 * $i + $bit
          else
            printf "  port %d is pending\n", 64 * $i + $bit
          end
        end
        set $bit = $bit + 1
      end
    end
    set $i = $i + 1
  end
  set language auto
end

define fata-grants
  set language c
  fata-ready
  if $ready
    set $table = *(unsigned long *) ($fata_trace + 32)
    set $entries = *(unsigned long *) ($fata_trace + 40)
    printf "grant table at %#lx, %lu entries\n", $table, $entries
    set $i = 0
    set $used = 0
    while $i < $entries
      set $entry = *(unsigned long *) ($table + 8 * $i)
      if ($entry & 3) != 0
        set $used = $used + 1
        printf "  %4d: frame %#lx for domain %d", $i, $entry >> 32, ($entry >> 16) & 0xffff
        if ($entry & 4) != 0
          printf ", read-only"
        end
        if ($entry & 8) != 0
          printf ", being read"
        end
        if ($entry & 16) != 0
          printf ", being written"
        end
        printf "\n"
      end
      set $i = $i + 1
    end
    printf "%d in use\n", $used
  end
  set language auto
end

define fata-rings
  set language c
  fata-ready
  if $ready
    set $i = 0
    set $used = 0
    while $i < 32
      set $ring = *(unsigned long *) ($fata_trace + 2112 + 32 * $i)
      set $layout = *(unsigned long *) ($fata_trace + 2120 + 32 * $i)
      set $device = *(unsigned long *) ($fata_trace + 2128 + 32 * $i)
      if $ring != 0
        set $used = $used + 1
        set $class = $device >> 32
        set $number = $device & 0xffffffff
        if $class == 3
          printf "disk %lu", $number
        end
        if $class == 4
          printf "card, out, grant %lu", $number
        end
        if $class == 5
          printf "card, in, grant %lu", $number
        end
        if ($layout & 0xff) == 1
          printf " at %#lx, %lu slots of %lu bytes\n", $ring, ($layout >> 8) & 0xffffff, $layout >> 32
          printf "  requests  produced %u, event at %u\n", *(unsigned int *) $ring, *(unsigned int *) ($ring + 4)
          printf "  responses produced %u, event at %u\n", *(unsigned int *) ($ring + 8), *(unsigned int *) ($ring + 12)
        end
        if ($layout & 0xff) == 2
          printf "Xenstore at %#lx\n", $ring
          printf "  requests consumed %u, produced %u\n", *(unsigned int *) ($ring + 2048), *(unsigned int *) ($ring + 2052)
          printf "  replies  consumed %u, produced %u\n", *(unsigned int *) ($ring + 2056), *(unsigned int *) ($ring + 2060)
        end
        if ($layout & 0xff) == 3
          printf "console at %#lx\n", $ring
          printf "  in  consumed %u, produced %u\n", *(unsigned int *) ($ring + 3072), *(unsigned int *) ($ring + 3076)
          printf "  out consumed %u, produced %u\n", *(unsigned int *) ($ring + 3080), *(unsigned int *) ($ring + 3084)
        end
      end
      set $i = $i + 1
    end
    printf "%d rings\n", $used
  end
  set language auto
end

define fata-tasks
  set language c
  fata-ready
  if $ready
    set $i = 0
    set $used = 0
    while $i < 64
      set $state = *(unsigned long *) ($fata_trace + 64 + 32 * $i + 8)
      if ($state & 0xff) != 0
        set $used = $used + 1
        set $name = *(unsigned long *) ($fata_trace + 64 + 32 * $i + 16)
        printf "task %d: ", $i
        if ($state & 0xff) == 1
          printf "waiting"
        end
        if ($state & 0xff) == 2
          printf "ready  "
        end
        if ($state & 0xff) == 3
          printf "running"
        end
        printf ", %lu polls  ", $state >> 8
        if $name != 0
          eval "printf \"%%.%lus\", (char *) %#lx", $name >> 48, $name & 0xffffffffffff
        end
        printf "\n"
      end
      set $i = $i + 1
    end
    printf "%d tasks beside the main one, %lu records of what happened\n", $used, *(unsigned long *) ($fata_trace + 16)
  end
  set language auto
end

define fata-log
  set language c
  if $fata_recorder == 0
    printf "the image keeps no log\n"
  else
    set $end = *(unsigned long *) ($fata_recorder + 2048)
    if $end > 2048
      set $from = $end % 2048
      eval "printf \"%%.%lus\", (char *) %#lx", 2048 - $from, $fata_recorder + $from
      eval "printf \"%%.%lus\", (char *) %#lx", $from, $fata_recorder
    else
      if $end > 0
        eval "printf \"%%.%lus\", (char *) %#lx", $end, $fata_recorder
      else
        printf "nothing was logged\n"
      end
    end
  end
  set language auto
end

define fata-help
  printf "fata-ports   event channels that are pending or masked\n"
  printf "fata-grants  pages lent to other domains\n"
  printf "fata-rings   rings shared with them, and how far they are\n"
  printf "fata-tasks   tasks, and how they are\n"
  printf "fata-log     the last messages\n"
end
document fata-help
What there is to look at a guest of Xen with.
end
