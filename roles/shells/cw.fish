# Completes cw in fish: each word is asked of the very cw that is being typed.
function __cw_words
    set -l words (commandline -opc)
    set -l current (string trim --left --chars='"\'' -- (commandline -ct))
    set -l answer (string replace -r '^~/' $HOME/ -- $words[1])
    set answer (command $answer completion --words fish $words[2..] "$current" 2>/dev/null </dev/null)
    switch $status
        case 0
            string join \n -- $answer
        case 10 11
            set -l front (string match -r -- '^--[^=]*=' $current)
            set -l names (__fish_complete_path (string replace -r '^--[^=]*=' '' -- $current))
            string replace -r '^' -- "$front" $names
    end
end
complete -c cw -f -a '(__cw_words)'
