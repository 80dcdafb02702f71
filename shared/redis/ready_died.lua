-- Puts back what a relay held that is known to have died, or to have hung: its lease need not run out.
--
-- ARGV     the relay
-- Answers  what was taken over from it (see `take_over`)

local told = {}
take_over(ARGV[4], told)
settle()
others_first(told)
wake_relays()
return told
