<#
.SYNOPSIS
Reports how many people joined, moved and left, from the changes.csv that export_changes.py writes.

.PARAMETER Path
The CSV file. The script fails with exit code 1 when it is missing.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory)]
    [string] $Path
)

# Without this an error is printed and the script goes on: it would end with exit code 0.
$ErrorActionPreference = 'Stop'

$changes = @(Import-Csv -LiteralPath $Path)
if ($changes.Count -eq 0) {
    Write-Output 'Nobody joined, moved or left.'
}

foreach ($group in ($changes | Group-Object -Property kind)) {
    $names = @($group.Group | Select-Object -First 3 | ForEach-Object { $_.given_name + ' ' + $_.surname })
    $more = if ($group.Count -gt 3) { ', ...' } else { '' }
    Write-Output ('{0,5} {1}: {2}{3}' -f $group.Count, $group.Name, ($names -join ', '), $more)
}
