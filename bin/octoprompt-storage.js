#!/usr/bin/env node
'use strict'

/** Reports why nothing could be run at all: either the addon does not load, or there is a bug. */
function report({ code = 'BUG', message }) {
  const json = process.argv.includes('--json')
  process.stderr.write(json ? `${JSON.stringify({ error: { code, message } })}\n` : `error: ${message} (${code})\n`)
  process.exitCode = 1
}

try {
  const { main } = require('../lib/command-line.js')
  main(process.argv.slice(2)).catch(report)
} catch (error) {
  report(error)
}
