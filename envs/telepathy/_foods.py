"""Foods and drinks: what can be asked about them, and which they are. See `_animals`."""

ATTRIBUTES = """
fruit | Is it a fruit? | fruits
vegetable | Is it a vegetable? | vegetables; veggie; veg
dish | Is it a prepared dish? | dish; meal; recipe; prepared; dishes; prepared food
drink | Is it a drink? | beverage; drinks; liquid; drunk; drink it
dessert | Is it a dessert or a treat? | dessert; treat; desserts; candy; confectionery; pastry
dairy | Is it a dairy product? | dairy; made from milk; milk product; milk; contains milk
meat | Does it contain meat? | meat; meaty; beef; pork; chicken meat
seafood | Does it contain fish or seafood? | seafood; fish; contains fish; shellfish
nut | Is it a nut? | nuts
grain | Is it made from grain? | grain; cereal; wheat; flour; grains; made from flour
spice | Is it used to season food? | spice; seasoning; condiment; spices; season food; sauce; flavouring; seasons
sweet | Does it taste sweet? | sweet; sugary; sugar; contains sugar; sweetness
sour | Does it taste sour? | sour; tart; acidic; citrus; tangy
salty | Does it taste salty? | salty; salt; savory; savoury
hotspice | Is it spicy? | spicy; spicy hot; burns tongue; pungent
bitter | Does it taste bitter? | bitter; bitterness
raw | Is it usually eaten raw? | raw; uncooked; without cooking; fresh
cooked | Is it usually cooked? | cooked; needs cooking; cook; boiled
warm | Is it usually served hot? | served hot; hot; warm; served warm; hot drink
cold | Is it usually served cold? | served cold; cold; chilled; iced
frozen | Is it served frozen? | frozen; ice; icy
seeds | Does it have many seeds? | seeds; pips; seed; small seeds; seeded
stone | Does it have a stone in the middle? | stone; pit; single large seed; stone inside; pits
peel | Is it usually peeled before it is eaten? | peel; peeled; thick skin; rind; inedible skin
tree | Does it grow on trees? | trees; tree; grows on trees; orchard
root | Does it grow under the ground? | root; underground; ground; roots; grows underground; under ground; soil; tuber; bulb
vine | Does it grow on a vine or a bush? | vine; bush; shrub; vines; bushes; berry; berries
leafy | Is it leafy? | leaves; leaf; leafy vegetable; made leaves
juicy | Is it juicy? | juice; juicy inside; watery
crunchy | Is it crunchy? | crisp; crispy; crunch; hard
soft | Is it soft? | creamy; mushy; smooth
alcohol | Does it contain alcohol? | alcoholic; alcohol; liquor; get drunk
caffeine | Does it contain caffeine? | caffeine; caffeinated
bubbles | Is it fizzy? | bubbles; carbonated; sparkling; bubbly; fizz; soda
baked | Is it baked? | oven; bake; baked oven
fried | Is it fried? | deep fried; fry; frying
cheese | Does it contain cheese? | cheesy; cheese
rice | Does it contain rice? | rice; made rice
noodles | Does it contain pasta or noodles? | noodles; pasta; noodle
bread | Does it contain bread or dough? | bread; dough; bun; crust
chocolate | Does it contain chocolate? | chocolate; cocoa; chocolatey
egg | Does it contain eggs? | eggs; egg; contains eggs
tomato | Does it contain tomatoes? | tomato; tomatoes; tomato sauce
italian | Does it come from Italy? | italy; italian; italian cuisine
japanese | Does it come from Japan? | japan; japanese; japanese cuisine
mexican | Does it come from Mexico? | mexico; mexican; mexican cuisine
indian | Does it come from India? | india; indian; indian cuisine
french | Does it come from France? | france; french; french cuisine
asian | Does it come from Asia? | asia; asian; asian cuisine
european | Does it come from Europe? | europe; european
american | Is it seen as typical of the United States? | american; united states; usa; america
round | Is it round? | round; ball; sphere; spherical; circular
long | Is it long and thin? | long; elongated; long thin; stick; thin
breakfast | Is it typical of breakfast? | breakfast; morning; eaten breakfast
tropical | Does it grow in tropical countries? | tropical; tropics; hot countries; warm countries; exotic
vegan | Is it free of meat, milk and eggs? | vegan; plant based; plant; plants; grown; grows; comes plant
fastfood | Is it sold as fast food? | fast food; junk food; street food
hands | Is it usually eaten with the hands? | hands; finger food; fingers; eaten hands
spread | Is it spread on bread? | spread; spreadable; spread bread
"""

IMPLIED = """
fruit: sweet raw vegan juicy cold
vegetable: vegan
drink: cold
nut: vegan crunchy raw hands
citrus: fruit sour tree peel seeds tropical
indian: asian
japanese: asian
italian: european
french: european
noodles: grain
bread: grain baked
rice: grain
"""

ENTITIES = """
apple | 2 | fruit tree round crunchy hands ~red ~green ~yellow
pear | 2 | fruit tree green soft hands
banana | 2.5 | fruit -juicy tropical yellow peel long soft hands
orange | 2 | citrus orange round
lemon | 1.5 | citrus -sweet yellow
lime | 1.5 | citrus -sweet green round
grapefruit | 2.5 | citrus bitter pink round breakfast
strawberry | 1 | fruit vine red seeds soft hands
raspberry | 0.8 | fruit vine red seeds soft sour hands
blueberry | 0.6 | fruit vine blue round soft hands
cherry | 1 | fruit tree red stone round hands
peach | 2 | fruit tree orange stone round soft hands ~yellow
plum | 1.5 | fruit tree purple stone round soft hands
apricot | 1.5 | fruit tree orange stone soft hands
grape; grapes | 1 | fruit vine green round hands ~purple ~seeds
watermelon | 3 | fruit vine green red seeds round peel
melon; cantaloupe | 3 | fruit vine seeds round peel orange ~green
pineapple | 3 | fruit tropical yellow peel sour
mango | 2.5 | fruit tree tropical stone peel orange soft
papaya | 3 | fruit tree tropical seeds peel orange soft
coconut | 2.5 | fruit tree tropical brown white round crunchy peel ~drink
kiwi; kiwifruit | 1.5 | fruit vine brown green seeds peel sour soft
pomegranate | 2 | fruit tree red seeds round peel sour
fig | 1.5 | fruit tree seeds soft purple hands tropical
date; dates | 1 | fruit -juicy tree tropical stone brown soft hands
avocado | 2 | fruit -sweet -juicy tree tropical stone green soft peel ~spread mexican
olive; olives | 1 | fruit -sweet -raw tree stone green salty ~black hands european
tomato | 2 | ~fruit ~vegetable vegan raw ~cooked juicy red round seeds vine tomato soft
potato | 2 | vegetable root cooked warm brown round
sweet potato; yam | 2.5 | vegetable root cooked warm sweet orange
carrot | 2.5 | vegetable root ~raw ~cooked orange long crunchy sweet
onion | 2 | vegetable root cooked round white peel hotspice spice
garlic | 1.5 | vegetable root cooked white peel spice hotspice
beetroot; beet | 2 | vegetable root cooked red round sweet
radish | 1.5 | vegetable root raw red round crunchy hotspice
ginger | 2 | root spice hotspice vegan brown peel asian
cabbage | 3 | vegetable leafy round green crunchy ~cooked ~raw
lettuce | 3 | vegetable leafy raw green crunchy cold
spinach | 2 | vegetable leafy green soft ~cooked ~raw
broccoli | 2.5 | vegetable cooked green warm
cauliflower | 3 | vegetable cooked white warm round
cucumber | 2.5 | vegetable raw green long crunchy juicy seeds vine cold
pumpkin | 3.5 | vegetable vine orange round seeds cooked sweet
eggplant; aubergine | 2.5 | vegetable cooked purple seeds long soft
bell pepper; sweet pepper; capsicum | 2 | vegetable vine seeds crunchy ~red ~green ~yellow ~raw sweet
chili pepper; chili; chilli | 1.5 | vegetable vine seeds hotspice spice red long mexican ~green
pea; peas | 0.5 | vegetable green round cooked sweet vine
corn; maize; sweetcorn | 2.5 | vegetable grain yellow cooked sweet warm mexican long hands
mushroom | 1.5 | cooked vegan brown soft ~white warm ~vegetable
asparagus | 2.5 | vegetable green long cooked warm
celery | 2.5 | vegetable green long crunchy raw
almond | 0.7 | nut tree brown
walnut | 1 | nut tree brown round bitter
peanut; peanuts | 0.7 | nut root brown ~salty american
cashew | 0.7 | nut tree tropical white sweet
bread; loaf; toast | 3 | bread -warm vegan soft breakfast brown
croissant | 2.5 | bread dessert french breakfast brown soft hands
bagel | 2.5 | bread round breakfast brown american hands vegan
pretzel | 2 | bread salty brown hands crunchy european vegan
pizza | 3 | dish bread cheese tomato italian warm baked round fastfood hands salty ~meat
spaghetti | 3 | dish noodles italian cooked warm long ~egg ~tomato
lasagna; lasagne | 3 | dish noodles italian cooked warm baked cheese meat tomato
risotto | 3 | dish rice italian cooked warm soft cheese
sushi | 2 | dish rice seafood japanese cold ~raw hands
ramen; noodle soup | 3 | dish noodles japanese cooked warm salty egg ~meat
tempura | 2.5 | dish japanese fried warm crunchy seafood
curry | 3 | dish indian cooked warm hotspice ~meat ~rice
samosa | 2 | dish indian fried warm hotspice hands bread crunchy
taco; tacos | 2 | dish mexican warm hotspice hands ~meat fastfood crunchy grain
burrito | 2.5 | dish mexican warm hands rice meat fastfood grain hotspice
guacamole | 2 | dish mexican vegan cold green soft raw salty spread
hamburger; burger; cheeseburger | 2.5 | dish american meat bread warm fastfood hands salty ~cheese
hot dog; hotdog | 2.5 | dish american meat bread warm fastfood hands salty long
french fries; fries; chips | 2 | dish fried warm fastfood hands salty vegan long crunchy yellow
fried chicken | 2.5 | dish fried warm fastfood hands salty meat american crunchy
sandwich | 2.5 | dish bread cold hands ~meat ~cheese ~breakfast
steak | 2.5 | dish meat cooked warm brown
sausage | 2 | meat cooked warm long brown salty european
bacon | 2 | meat cooked warm fried salty breakfast american
omelette; omelet | 2.5 | dish egg fried warm breakfast yellow french soft
pancake; pancakes | 2.5 | dish egg grain fried warm breakfast round sweet dairy soft dessert
waffle; waffles | 2.5 | dish egg grain baked warm breakfast sweet dairy crunchy dessert european
porridge; oatmeal | 2.5 | dish grain cooked warm breakfast soft dairy
cereal; cornflakes; muesli | 2.5 | grain breakfast crunchy cold sweet american
paella | 3 | dish rice seafood cooked warm yellow european
kebab; doner | 2.5 | dish meat warm fastfood cooked hands asian
hummus | 2 | dish vegan cold soft spread asian salty
falafel | 2 | dish vegan fried warm round asian crunchy hands fastfood
dumpling; dumplings | 1.5 | dish asian cooked warm soft ~meat grain
tofu | 2 | vegan soft white cooked asian
soup | 2.5 | dish cooked warm ~drink salty
salad | 2.5 | dish raw cold leafy green ~vegan
fish and chips | 3 | dish fried warm seafood fastfood european salty crunchy
rice | 1 | rice cooked warm white vegan soft asian
cheese | 2.5 | dairy cheese salty yellow cold european
yogurt; yoghurt | 2.5 | dairy cold soft white sour breakfast
butter | 2 | dairy cold soft yellow spread
cream | 2.5 | dairy cold soft white ~drink
egg; boiled egg | 1.8 | egg cooked breakfast white round ~brown
honey | 2.5 | sweet yellow spread soft breakfast
jam; jelly; marmalade | 2.5 | sweet spread vegan breakfast soft cooked ~red
peanut butter | 2.5 | spread vegan soft brown american salty nut -crunchy -raw -hands
salt | 2.5 | spice salty white vegan
pepper; black pepper | 2.5 | spice hotspice black vegan tropical
cinnamon | 2 | spice sweet brown vegan tree tropical asian
vanilla | 1.5 | spice sweet vegan tropical vine long black
ketchup | 2.5 | spice sweet red tomato vegan american fastfood cold
mustard | 2.5 | spice yellow hotspice vegan cold sour
mayonnaise; mayo | 2.5 | spice egg white cold soft french
vinegar | 2.5 | spice sour vegan
soy sauce | 2.5 | spice salty black vegan asian
chocolate; chocolate bar | 2 | dessert sweet chocolate brown dairy hands
ice cream | 2.5 | dessert sweet dairy cold frozen soft
sorbet | 2.5 | dessert sweet vegan cold frozen
cake; birthday cake | 3 | dessert sweet baked egg soft grain round ~chocolate
cheesecake | 3 | dessert sweet baked egg dairy cheese soft cold american round
brownie | 2 | dessert sweet baked egg chocolate brown soft american grain hands
cookie; biscuit; cookies | 1.7 | dessert sweet baked grain crunchy round hands brown
donut; doughnut | 2 | dessert sweet fried round american grain soft hands breakfast
apple pie; pie | 3 | dessert sweet baked american round grain warm
tiramisu | 2.5 | dessert sweet italian cold egg cheese soft caffeine dairy
macaron; macaroon | 1.5 | dessert sweet french baked egg round hands nut
popcorn | 1 | grain salty crunchy hands american white warm ~sweet vegan
chewing gum; gum; bubblegum | 1 | dessert sweet soft hands american
lollipop | 1.5 | dessert sweet crunchy hands round
coffee; espresso | 2 | drink -cold warm caffeine bitter black brown breakfast vegan tropical
tea | 2 | drink -cold warm caffeine vegan breakfast asian leafy brown
hot chocolate; cocoa | 2 | drink -cold warm sweet chocolate dairy brown
milk | 2.5 | drink dairy white breakfast
water; mineral water | 2.5 | drink vegan ~bubbles
orange juice | 2.5 | drink vegan sweet sour orange breakfast juicy
lemonade | 2.5 | drink vegan sweet sour yellow ~bubbles
cola; coke | 2.5 | drink vegan sweet bubbles caffeine brown american fastfood
beer | 2.5 | drink alcohol bubbles bitter yellow grain vegan european
wine | 2.5 | drink alcohol vine ~red ~white european vegan ~sour
champagne | 2.5 | drink alcohol bubbles french vine vegan yellow
whisky; whiskey | 2.5 | drink alcohol grain brown european vegan
vodka | 2.5 | drink alcohol grain european vegan
sake | 2.5 | drink alcohol rice japanese vegan ~warm
smoothie; milkshake | 2.5 | drink sweet soft ~dairy
"""
