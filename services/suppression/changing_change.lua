-- Changes values of maps of addresses, each if it still is what it was when it was read.
--
-- KEYS     of each value its map
-- ARGV     of each value its address, what it was, and what it is to be; '' is none
-- Answers  for each 1, or 0 if it is another meanwhile

local answers = {}
for i, base in ipairs(KEYS) do
  local address, old, new = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  answers[i] = 0
  if (addressed_get(base, address) or '') == old then
    answers[i] = 1
    if new == '' then addressed_delete(base, address) else addressed_set(base, address, new) end
  end
end
return answers
