#!/usr/bin/env node
'use strict'

try {
  const { main } = require('../lib/command-line.js')
  main(process.argv.slice(2))
} catch (error) {
  // The addon does not load: its error says what to do.
  const { code, message } = error
  const json = process.argv.includes('--json')
  process.stderr.write(json ? `${JSON.stringify({ error: { code, message } })}\n` : `error: ${message} (${code})\n`)
  process.exitCode = 1
}
